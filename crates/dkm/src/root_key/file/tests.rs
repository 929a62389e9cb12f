use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

use super::*;

const GROUP: GroupId = GroupId([7; 16]);
const MATERIAL: [u8; 32] = [0x5a; 32];

fn nobody_else() -> GroupAccess {
    GroupAccess::default()
}

/// A Unix group that this process may give files to: its own.
fn own_group() -> (GroupAccess, u32) {
    let gid = rustix::process::getegid().as_raw();
    (GroupAccess { readers: vec![gid.to_string()], ..GroupAccess::default() }, gid)
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

fn names(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
}

/// What a folder with one root key holds.
fn one_key(id: RootKeyId) -> BTreeSet<String> {
    BTreeSet::from([format!("{id}.key"), "current".to_owned()])
}

#[test]
fn material_comes_back_with_its_aad_only() {
    let dir = tempfile::tempdir().unwrap();
    let keys = FileRootKeys::new(dir.path().join("roots"));
    let id = keys.create(GROUP, &nobody_else()).unwrap();
    let wrapped = keys.wrap(GROUP, b"record", &MATERIAL).unwrap();
    assert_eq!(wrapped.root, id);
    assert_eq!((wrapped.nonce.len(), wrapped.ciphertext.len()), (12, 48));
    assert_eq!(*keys.unwrap(GROUP, b"record", &wrapped).unwrap(), MATERIAL);
    assert_ne!(wrapped, keys.wrap(GROUP, b"record", &MATERIAL).unwrap());

    let mismatch = RootKeyError::Mismatch { root: id };
    assert_eq!(keys.unwrap(GROUP, b"recorD", &wrapped).unwrap_err(), mismatch);
    for at in 0..wrapped.ciphertext.len() {
        let mut damaged = wrapped.clone();
        damaged.ciphertext[at] ^= 1;
        assert_eq!(keys.unwrap(GROUP, b"record", &damaged).unwrap_err(), mismatch);
    }
    for (nonce, ciphertext) in [(11, 48), (13, 48), (12, 47), (12, 49), (12, 0), (0, 48)] {
        let odd = WrappedMaterial { root: id, nonce: vec![0; nonce], ciphertext: vec![0; ciphertext] };
        assert_eq!(keys.unwrap(GROUP, b"record", &odd).unwrap_err(), mismatch);
    }
}

#[test]
fn files_are_for_the_owner_or_the_readers_alone() {
    let dir = tempfile::tempdir().unwrap();
    let keys = FileRootKeys::new(dir.path().join("roots"));
    let (access, gid) = own_group();
    let other = GroupId([8; 16]);
    for (group, access, folder_mode, file_mode) in
        [(GROUP, nobody_else(), 0o700, 0o400), (other, access, 0o750, 0o440)]
    {
        let id = keys.create(group, &access).unwrap();
        let folder = keys.folder().join(group.to_string());
        assert_eq!(names(&folder), one_key(id));
        assert_eq!(mode(&folder), folder_mode);
        for name in names(&folder) {
            assert_eq!(mode(&folder.join(&name)), file_mode, "{name}");
        }
    }
    assert_eq!(fs::metadata(keys.folder().join(other.to_string())).unwrap().gid(), gid);
}

#[test]
fn a_second_creation_keeps_the_first_key() {
    let dir = tempfile::tempdir().unwrap();
    let id = FileRootKeys::new(dir.path().to_owned()).create(GROUP, &nobody_else()).unwrap();
    assert_eq!(FileRootKeys::new(dir.path().to_owned()).create(GROUP, &nobody_else()).unwrap(), id);
}

#[test]
fn many_creators_end_up_with_one_key() {
    let dir = tempfile::tempdir().unwrap();
    for round in 0..20u8 {
        let group = GroupId([round; 16]);
        let barrier = std::sync::Barrier::new(8);
        let ids: BTreeSet<_> = std::thread::scope(|scope| {
            let made: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let keys = FileRootKeys::new(dir.path().to_owned());
                        barrier.wait();
                        let id = keys.create(group, &nobody_else()).unwrap();
                        let wrapped = keys.wrap(group, b"", &MATERIAL).unwrap();
                        assert_eq!(wrapped.root, id);
                        id
                    })
                })
                .collect();
            made.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let [id] = ids.into_iter().collect::<Vec<_>>()[..] else { panic!("several root keys") };
        assert_eq!(names(&dir.path().join(group.to_string())), one_key(id));
    }
}

#[test]
fn a_key_that_did_not_get_its_name_yet_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let keys = FileRootKeys::new(dir.path().to_owned());
    let id = keys.create(GROUP, &nobody_else()).unwrap();
    let folder = dir.path().join(GROUP.to_string());
    fs::rename(folder.join(format!("{id}.key")), folder.join(format!(".new-{id}"))).unwrap();
    let again = FileRootKeys::new(dir.path().to_owned());
    let wrapped = again.wrap(GROUP, b"", &MATERIAL).unwrap();
    assert_eq!(*again.unwrap(GROUP, b"", &wrapped).unwrap(), MATERIAL);
    assert_eq!(again.create(GROUP, &nobody_else()).unwrap(), id);
    assert_eq!(names(&folder), one_key(id));
}

#[test]
fn a_rotated_root_key_wraps_and_the_old_one_still_unwraps() {
    let dir = tempfile::tempdir().unwrap();
    let (access, _) = own_group();
    let keys = FileRootKeys::new(dir.path().to_owned());
    // Another process, which learns of the rotation from the files.
    let other = FileRootKeys::new(dir.path().to_owned());
    let first = keys.create(GROUP, &access).unwrap();
    let old = other.wrap(GROUP, b"", &MATERIAL).unwrap();
    let second = keys.rotate(GROUP).unwrap();
    assert_ne!(first, second);
    assert_eq!(other.current(GROUP).unwrap(), second);
    let new = other.wrap(GROUP, b"", &MATERIAL).unwrap();
    assert_eq!((old.root, new.root), (first, second));
    for wrapped in [old, new] {
        assert_eq!(*keys.unwrap(GROUP, b"", &wrapped).unwrap(), MATERIAL);
    }
    let folder = dir.path().join(GROUP.to_string());
    assert_eq!(names(&folder).len(), 3);
    for name in names(&folder) {
        assert_eq!(mode(&folder.join(&name)), 0o440, "{name}");
    }
}

#[test]
fn a_group_without_a_root_key_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let keys = FileRootKeys::new(dir.path().to_owned());
    let missing = |error| matches!(error, RootKeyError::NotFound { .. });
    assert!(missing(keys.current(GROUP).unwrap_err()));
    assert!(missing(keys.rotate(GROUP).unwrap_err()));
    assert!(missing(keys.wrap(GROUP, b"", &MATERIAL).unwrap_err()));
    keys.create(GROUP, &nobody_else()).unwrap();
    let mut wrapped = keys.wrap(GROUP, b"", &MATERIAL).unwrap();
    wrapped.root = RootKeyId([0; 16]);
    assert!(missing(keys.unwrap(GROUP, b"", &wrapped).unwrap_err()));
}

#[test]
fn loose_files_and_folders_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let id = FileRootKeys::new(dir.path().to_owned()).create(GROUP, &nobody_else()).unwrap();
    let folder = dir.path().join(GROUP.to_string());
    let key = folder.join(format!("{id}.key"));
    let current = folder.join("current");
    let cases = [
        (&key, 0o444, 0o400),
        (&key, 0o401, 0o400),
        (&key, 0o402, 0o400),
        (&key, 0o460, 0o400),
        (&current, 0o444, 0o400),
        (&current, 0o420, 0o400),
        (&folder, 0o770, 0o700),
        (&folder, 0o702, 0o700),
    ];
    for (path, loose, tight) in cases {
        fs::set_permissions(path, Permissions::from_mode(loose)).unwrap();
        let error = FileRootKeys::new(dir.path().to_owned()).wrap(GROUP, b"", &MATERIAL).unwrap_err();
        assert!(matches!(error, RootKeyError::Loose { .. }), "{loose:o} {}: {error}", path.display());
        fs::set_permissions(path, Permissions::from_mode(tight)).unwrap();
        FileRootKeys::new(dir.path().to_owned()).wrap(GROUP, b"", &MATERIAL).unwrap();
    }
}

#[test]
fn damaged_moved_and_linked_files_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys = || FileRootKeys::new(dir.path().to_owned());
    let id = keys().create(GROUP, &nobody_else()).unwrap();
    let folder = dir.path().join(GROUP.to_string());
    let key = folder.join(format!("{id}.key"));
    let damaged = |what: &str| {
        let error = keys().wrap(GROUP, b"", &MATERIAL).unwrap_err();
        assert!(matches!(error, RootKeyError::Damaged { .. }), "{what}: {error}");
        assert_eq!(error.kind(), crate::ErrorKind::Corrupt);
    };
    let good = fs::read(&key).unwrap();
    let put = |bytes: &[u8]| {
        let _ = fs::remove_file(&key);
        fs::write(&key, bytes).unwrap();
        fs::set_permissions(&key, Permissions::from_mode(0o400)).unwrap();
    };
    put(&good[..40]);
    damaged("cut off");
    put(&[good.as_slice(), b"more"].concat());
    damaged("too long");
    let other = GroupId([8; 16]);
    let moved = keys().create(other, &nobody_else()).unwrap();
    put(&fs::read(dir.path().join(other.to_string()).join(format!("{moved}.key"))).unwrap());
    damaged("another group's");
    put(&good);
    keys().wrap(GROUP, b"", &MATERIAL).unwrap();

    fs::rename(&key, folder.join("elsewhere")).unwrap();
    symlink("elsewhere", &key).unwrap();
    assert!(keys().wrap(GROUP, b"", &MATERIAL).is_err());
    fs::rename(folder.join("elsewhere"), &key).unwrap();

    let current = folder.join("current");
    fs::remove_file(&current).unwrap();
    assert_eq!(keys().current(GROUP).unwrap(), id);
    for text in ["", "\n", "nonsense\n", &id.to_string(), &format!("{id}\n\n")] {
        fs::write(&current, text).unwrap();
        fs::set_permissions(&current, Permissions::from_mode(0o600)).unwrap();
        damaged(text);
    }
    fs::remove_file(&current).unwrap();
    fs::copy(&key, folder.join(format!("{}.key", RootKeyId([0; 16])))).unwrap();
    damaged("two keys and no pointer");
}

#[test]
fn a_root_key_is_read_once_and_can_be_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let keys = FileRootKeys::new(dir.path().to_owned());
    let id = keys.create(GROUP, &nobody_else()).unwrap();
    let wrapped = keys.wrap(GROUP, b"", &MATERIAL).unwrap();
    fs::remove_file(dir.path().join(GROUP.to_string()).join(format!("{id}.key"))).unwrap();
    for _ in 0..100 {
        assert_eq!(*keys.unwrap(GROUP, b"", &wrapped).unwrap(), MATERIAL);
    }
    keys.forget(GroupId([8; 16]));
    keys.unwrap(GROUP, b"", &wrapped).unwrap();
    keys.forget(GROUP);
    assert!(matches!(keys.unwrap(GROUP, b"", &wrapped).unwrap_err(), RootKeyError::NotFound { .. }));
}

#[test]
fn unknown_and_several_reader_groups_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let keys = FileRootKeys::new(dir.path().to_owned());
    for readers in [vec!["no-such-group-here".to_owned()], vec!["1".to_owned(), "2".to_owned()]] {
        let access = GroupAccess { readers, ..GroupAccess::default() };
        assert!(matches!(keys.create(GROUP, &access).unwrap_err(), RootKeyError::Invalid(_)));
    }
    assert!(!dir.path().join(GROUP.to_string()).exists());
}

#[test]
fn debug_shows_the_folder_only() {
    let keys = FileRootKeys::new("/roots".into());
    assert_eq!(format!("{keys:?} {}", keys.location()), "FileRootKeys(/roots) /roots");
}
