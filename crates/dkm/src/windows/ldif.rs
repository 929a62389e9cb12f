//! Exports of a directory (LDIF, RFC 2849), as `ldapsearch -LLL` and `ldifde` print them: entries, never changes.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::DirectoryEntry;

/// Longest export that is read, in bytes.
pub const LDIF_LEN_MAX: usize = 16 * 1024 * 1024;
/// Most entries of an export.
const ENTRIES_MAX: usize = 100_000;

/// Why an export is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LdifError {
    /// Longer than the limit.
    #[error("an export of {len} bytes is longer than the limit of {LDIF_LEN_MAX}")]
    TooLong {
        /// Its length, in bytes.
        len: usize,
    },
    /// More entries than the limit.
    #[error("the export has more than {ENTRIES_MAX} entries")]
    TooManyEntries,
    /// A line is not LDIF.
    #[error("line {line} of the export: {why}")]
    Line {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it; never the line itself, which may hold a key.
        why: &'static str,
    },
}

/// Reads an export. Only what a container of keys consists of is kept.
///
/// # Errors
/// [`LdifError`]: too long, or a line is not what it must be.
pub fn read_ldif(bytes: &[u8]) -> Result<Vec<DirectoryEntry>, LdifError> {
    if bytes.len() > LDIF_LEN_MAX {
        return Err(LdifError::TooLong { len: bytes.len() });
    }
    let mut entries: Vec<DirectoryEntry> = Vec::new();
    let mut open = false;
    for (line, text) in unfold(bytes)? {
        if text.is_empty() {
            open = false;
            continue;
        }
        let bad = |why| LdifError::Line { line, why };
        let colon = text.iter().position(|b| *b == b':').ok_or_else(|| bad("it has no colon"))?;
        let (name, rest) = text.split_at(colon);
        // Options such as `;binary` say nothing about the value here.
        let name = name.split(|b| *b == b';').next().unwrap_or_default();
        let name = std::str::from_utf8(name).map_err(|_| bad("its attribute's name is not text"))?;
        let value = value_of(rest.get(1..).unwrap_or_default()).map_err(bad)?;
        let name = name.to_ascii_lowercase();
        if name == "dn" {
            if open {
                return Err(bad("an entry begins before the one before it has ended"));
            }
            if entries.len() >= ENTRIES_MAX {
                return Err(LdifError::TooManyEntries);
            }
            open = true;
            entries.push(DirectoryEntry { dn: text_of(&value).map_err(bad)?, ..DirectoryEntry::default() });
            continue;
        }
        let Some(entry) = entries.last_mut().filter(|_| open) else {
            // A file may begin with its version, by itself or on top of the first entry.
            if name == "version" && entries.is_empty() {
                continue;
            }
            return Err(bad("an entry does not begin with its dn"));
        };
        take(entry, &name, value).map_err(bad)?;
    }
    Ok(entries)
}

fn take(entry: &mut DirectoryEntry, name: &str, value: Zeroizing<Vec<u8>>) -> Result<(), &'static str> {
    let once = |taken: bool| if taken { Err("an attribute of one value has two") } else { Ok(()) };
    match name {
        "changetype" => return Err("this is a list of changes, not an export"),
        "objectclass" => entry.object_classes.push(text_of(&value)?),
        "displayname" => {
            once(entry.display_name.is_some())?;
            entry.display_name = Some(text_of(&value)?);
        }
        "l" => {
            once(entry.l.is_some())?;
            entry.l = Some(text_of(&value)?);
        }
        "thumbnailphoto" => {
            once(entry.thumbnail_photo.is_some())?;
            entry.thumbnail_photo = Some(value);
        }
        _ => {}
    }
    Ok(())
}

/// A value as it stands after the first colon.
fn value_of(rest: &[u8]) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    match rest.split_first() {
        Some((b':', text)) => {
            let mut out = Zeroizing::new(vec![0; text.len()]);
            let len =
                STANDARD.decode_slice(text.trim_ascii(), &mut out).map_err(|_| "its value is not base64")?;
            out.truncate(len);
            Ok(out)
        }
        // What an export names, it does not hold.
        Some((b'<', _)) => Err("its value stands in another file, which is not read"),
        _ => Ok(Zeroizing::new(rest.trim_ascii_start().to_vec())),
    }
}

fn text_of(value: &[u8]) -> Result<String, &'static str> {
    String::from_utf8(value.to_vec()).map_err(|_| "its value is not text")
}

/// A line's number, from 1, and what stands in it.
type Line = (usize, Zeroizing<Vec<u8>>);

/// Lines with what was folded put together, comments left out, and numbered by where they begin.
fn unfold(bytes: &[u8]) -> Result<Vec<Line>, LdifError> {
    let mut lines: Vec<Line> = Vec::new();
    let mut comment = false;
    for (number, line) in bytes.split(|b| *b == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match line.split_first() {
            Some((b' ', _)) if comment => {}
            Some((b' ', more)) => {
                let Some((_, last)) = lines.last_mut().filter(|(_, last)| !last.is_empty()) else {
                    return Err(LdifError::Line { line: number + 1, why: "it continues no line" });
                };
                grow(last, more);
            }
            Some((b'#', _)) => comment = true,
            _ => {
                comment = false;
                lines.push((number + 1, Zeroizing::new(line.to_vec())));
            }
        }
    }
    Ok(lines)
}

/// Appends without leaving a copy behind where memory moves.
fn grow(line: &mut Zeroizing<Vec<u8>>, more: &[u8]) {
    let len = line.len() + more.len();
    if len > line.capacity() {
        let mut moved = Zeroizing::new(Vec::with_capacity(len.saturating_mul(2)));
        moved.extend_from_slice(line);
        *line = moved;
    }
    line.extend_from_slice(more);
}
