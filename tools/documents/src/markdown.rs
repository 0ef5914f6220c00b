//! Tables and code in Markdown.

/// A table with a blank line before it.
pub(crate) fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
    let rows = rows.into_iter().map(|cells| line(&cells.map(|cell| in_a_cell(&cell))));
    let rule = line(&[const { String::new() }; N].map(|_| "---".to_owned()));
    ["\n".to_owned(), line(&head.map(str::to_owned)), rule].into_iter().chain(rows).collect()
}

/// Text that cannot end its cell.
pub(crate) fn in_a_cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

/// Inline code.
pub(crate) fn code(text: &str) -> String {
    format!("`{text}`")
}
