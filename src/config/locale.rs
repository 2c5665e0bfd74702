//! What the terminal can show.

/// Whether texts may hold more than ASCII: the first of these variables that is set decides (POSIX, "Locale").
#[expect(clippy::disallowed_methods, reason = "this is the reader of the environment")]
pub fn has_utf8_locale() -> bool {
    let set = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .find_map(|name| std::env::var_os(name).filter(|value| !value.is_empty()));
    let name = set.map(|name| name.to_string_lossy().to_ascii_lowercase()).unwrap_or_default();
    name.contains("utf-8") || name.contains("utf8")
}
