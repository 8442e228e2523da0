//! The terminal while `top` has it: taken over whole, and given back however the program ends.

use std::io;

use ratatui::{DefaultTerminal, Frame};

/// Gives the terminal back when it is dropped. A panic does so before it is told, by a hook that ratatui sets.
pub(super) struct Screen(DefaultTerminal);

impl Screen {
    pub(super) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self).inspect_err(|_| restore())
    }

    pub(super) fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(draw).map(|_| ())
    }

    /// How large it is.
    pub(super) fn area(&self) -> io::Result<ratatui::layout::Rect> {
        Ok(self.0.size()?.into())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    if let Err(error) = ratatui::try_restore() {
        log::debug!("the terminal can't be given back: {error}");
    }
}
