//! No secret gets out: the keys, the passwords and the encryption key of a running service, looked for wherever the
//! service writes, answers or can be looked at.

mod files;
mod nowhere;
mod processes;
mod rekey;
mod scene;
