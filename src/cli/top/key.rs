//! What keys do.

use crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Quit,
    /// Closes what lies on top, else ends.
    Leave,
    Pause,
    Sort,
    Help,
    NextPanel,
    PreviousPanel,
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// What the help tells, in the order of the lines.
pub(super) const HELP: [(&str, &str); 7] = [
    ("q Esc Ctrl-C", "end"),
    ("p", "pause, and go on"),
    ("← → Tab", "another panel"),
    ("s", "sort it by something else"),
    ("↑ ↓ PgUp PgDn", "move through it"),
    ("Home End", "its first, its last line"),
    ("?", "this help"),
];

/// The action of a key, if it has one.
pub(super) fn action(key: KeyEvent) -> Option<Action> {
    // Some terminals tell of keys that are let go, too.
    if key.kind == KeyEventKind::Release {
        return None;
    }
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return (key.code == KeyCode::Char('c')).then_some(Action::Quit);
    }
    match key.code {
        KeyCode::Char('q' | 'Q') => Some(Action::Quit),
        KeyCode::Esc => Some(Action::Leave),
        KeyCode::Char('p' | 'P' | ' ') => Some(Action::Pause),
        KeyCode::Char('s' | 'S') => Some(Action::Sort),
        KeyCode::Char('?' | 'h') | KeyCode::F(1) => Some(Action::Help),
        KeyCode::Right | KeyCode::Tab => Some(Action::NextPanel),
        KeyCode::Left | KeyCode::BackTab => Some(Action::PreviousPanel),
        KeyCode::Up | KeyCode::Char('k') => Some(Action::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Action::Down),
        KeyCode::PageUp => Some(Action::PageUp),
        KeyCode::PageDown => Some(Action::PageDown),
        KeyCode::Home => Some(Action::First),
        KeyCode::End => Some(Action::Last),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_do_what_the_help_says() {
        let plain = |code| action(KeyEvent::new(code, KeyModifiers::NONE));
        for (code, expected) in [
            (KeyCode::Char('q'), Action::Quit),
            (KeyCode::Esc, Action::Leave),
            (KeyCode::Char('p'), Action::Pause),
            (KeyCode::Char('s'), Action::Sort),
            (KeyCode::Char('?'), Action::Help),
            (KeyCode::Tab, Action::NextPanel),
            (KeyCode::Right, Action::NextPanel),
            (KeyCode::Left, Action::PreviousPanel),
            (KeyCode::Down, Action::Down),
            (KeyCode::End, Action::Last),
        ] {
            assert_eq!(plain(code), Some(expected), "{code:?}");
        }
        assert_eq!(plain(KeyCode::Char('x')), None);
        assert_eq!(action(KeyEvent::new(KeyCode::BackTab, KeyModifiers::SHIFT)), Some(Action::PreviousPanel));
    }

    #[test]
    fn with_control_only_c_does_something() {
        let control = |letter| action(KeyEvent::new(KeyCode::Char(letter), KeyModifiers::CONTROL));
        assert_eq!((control('c'), control('q'), control('s')), (Some(Action::Quit), None, None));
    }

    #[test]
    fn a_key_that_is_let_go_does_nothing() {
        let released = KeyEvent::new_with_kind(KeyCode::Char('q'), KeyModifiers::NONE, KeyEventKind::Release);
        assert_eq!(action(released), None);
    }
}
