//! Columns of text, aligned. Styles do not count as width.

use crate::terminal::{BOLD, styled};

/// Lines up rows under their headings. The last column is not padded.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let widths: Vec<usize> = (0..headings.len())
        .map(|i| {
            let cells = rows.iter().filter_map(|row| row.get(i)).map(|cell| width(cell));
            cells.chain([headings[i].len()]).max().unwrap_or(0)
        })
        .collect();
    let headings: Vec<String> = headings.iter().map(|h| styled(BOLD, h)).collect();
    let mut out = line(&headings, &widths);
    rows.iter().for_each(|row| out.push_str(&line(row, &widths)));
    out
}

/// Lines up names and what belongs to them.
pub(crate) fn facts(pairs: &[(&str, String)]) -> String {
    let widest = pairs.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    let line = |(name, value): &(&str, String)| {
        let pad = " ".repeat(widest - name.chars().count());
        let indent = format!("\n{}", " ".repeat(widest + 2));
        format!("{}{pad}  {}\n", styled(BOLD, name), value.replace('\n', &indent))
    };
    pairs.iter().map(line).collect()
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut out = String::new();
    for (i, cell) in cells.iter().enumerate() {
        out.push_str(cell);
        if i + 1 < cells.len() {
            let pad = widths.get(i).copied().unwrap_or(0).saturating_sub(width(cell));
            out.push_str(&" ".repeat(pad + 2));
        }
    }
    let mut line = out.trim_end().to_owned();
    line.push('\n');
    line
}

/// Columns that a text takes on a terminal, as far as we write any: one a character, none for styles.
fn width(text: &str) -> usize {
    anstream::adapter::strip_str(text).to_string().chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::terminal::GOOD;

    #[test]
    fn styles_do_not_shift_columns() {
        let rows = vec![
            vec![styled(GOOD, "active"), "x".to_owned()],
            vec!["pre-active".to_owned(), "y".to_owned()],
            vec!["a".to_owned(), String::new()],
        ];
        let plain = anstream::adapter::strip_str(&table(&["STATE", "KEY"], &rows)).to_string();
        assert_eq!(plain, "STATE       KEY\nactive      x\npre-active  y\na\n");
    }

    #[test]
    fn facts_keep_further_lines_in_their_column() {
        let text = facts(&[("a", "1\n2".to_owned()), ("bcd", "3".to_owned())]);
        assert_eq!(anstream::adapter::strip_str(&text).to_string(), "a    1\n     2\nbcd  3\n");
    }
}
