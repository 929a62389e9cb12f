//! Seeds of Windows DKM: blobs as bytes and as text, and exports.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dkm_core::KeyGuid;
use dkm_core::windows::{WindowsKey, seal};

use super::write;

pub(crate) fn windows() {
    let key = WindowsKey::new(KeyGuid([0x47; 16]), &[0x4d; 32]).unwrap();
    let blob = |len: usize| seal(&key, &[3; 32], &[4; 16], &vec![b'p'; len]).unwrap();
    // With lengths of one, two and three bytes.
    for len in [0, 1, 16, 100, 300] {
        write("windows_blob", &format!("plaintext-of-{len}"), &blob(len));
    }
    let text = STANDARD.encode(blob(20));
    write("windows_blob", "text", text.as_bytes());
    let (head, tail) = text.split_at(64);
    write("windows_blob", "text-in-lines", format!("{head}\r\n{tail}\r\n").as_bytes());

    let group = "CN=8164cba4-17e3-4bd7-9c5b-8a2b0ad9e0f5,CN=ADFS,CN=Microsoft,CN=Program Data,DC=dkm,DC=test";
    let guid = "3f2504e0-4f89-41d3-9a0c-0305e82c3301";
    let photo = STANDARD.encode([1; 32]);
    let (folded, rest) = photo.split_at(20);
    let policy = format!("dn: CN=CryptoPolicy,{group}\nobjectClass: contact\ndisplayName: {guid}\n");
    let one =
        format!("dn: CN=1,{group}\nobjectClass: contact\nl: {guid}\nthumbnailPhoto:: {folded}\n {rest}\n");
    let other = one.replace("CN=1", "cn=2").replace("3f25", "4f25").replace("AQEB", "AgIC");
    write(
        "windows_ldif",
        "container",
        format!("version: 1\n\n# keys\n{policy}\n{one}\n{other}\n").as_bytes(),
    );
    write("windows_ldif", "carriage-returns", one.replace('\n', "\r\n").as_bytes());
    write("windows_ldif", "nameless", one.replace("l: ", "ou: ").as_bytes());
    write("windows_ldif", "changes", one.replace("l: ", "changetype: add\nl: ").as_bytes());
    write("windows_ldif", "elsewhere", one.replace(":: ", ":< file:///etc/").as_bytes());
}
