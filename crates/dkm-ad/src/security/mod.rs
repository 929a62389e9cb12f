//! Security descriptors of the directory's objects.
