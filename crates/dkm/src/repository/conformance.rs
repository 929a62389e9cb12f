//! What any repository must do: run by each of them against itself.
