//! What commands that talk to a person have in common.

use std::io::{self, IsTerminal};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Columns where the terminal does not say how many it has.
const WIDTH: usize = 80;

/// A progress bar on standard error, if that is a terminal.
pub(super) fn progress(expected: u64) -> ProgressBar {
    let target =
        if io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {per_sec} {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::with_draw_target(Some(expected), target).with_style(style)
}

/// The columns of the terminal behind standard output.
pub(super) fn width() -> usize {
    terminal_size::terminal_size_of(io::stdout()).map_or(WIDTH, |(width, _)| usize::from(width.0))
}

/// On one line: what came over the wire can neither move the cursor, nor break the line, nor turn its direction.
pub(super) fn plain(text: &str) -> String {
    let unfit = |c: char| c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().map(|c| if unfit(c) { ' ' } else { c }).collect()
}

/// At most so many characters; `…` stands for the rest.
pub(super) fn shorten(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept: String = text.chars().take(width.saturating_sub(1)).collect();
    if width == 0 { kept } else { format!("{}…", kept.trim_end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_to_their_column() {
        assert_eq!(shorten("four", 4), "four");
        assert_eq!(shorten("a longer one", 8), "a longe…");
        assert_eq!(shorten("ab cd", 4), "ab…");
        assert_eq!(shorten("ü", 0), "");
    }

    #[test]
    fn a_text_stays_on_its_line() {
        assert_eq!(plain("a\u{1b}[2J\nb\u{202e}c"), "a [2J b c");
    }
}
