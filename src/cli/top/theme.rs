//! How things look, with colours and without.

use ratatui::style::{Color, Modifier, Style};

use super::rows::Mood;

/// The looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Theme {
    has_color: bool,
}

impl Theme {
    pub(super) fn new(has_color: bool) -> Self {
        Self { has_color }
    }

    /// What a text means. Without colours, what is not well stands out by its weight.
    pub(super) fn mood(&self, mood: Mood) -> Style {
        match mood {
            Mood::Plain => Style::default(),
            Mood::Good => self.colored(Color::Green, Modifier::empty()),
            Mood::Warning => self.colored(Color::Yellow, Modifier::BOLD),
            Mood::Bad => self.colored(Color::Red, Modifier::BOLD),
            Mood::Dim => self.dim(),
        }
    }

    /// Headers of tables and names of things.
    pub(super) fn head(&self) -> Style {
        Style::default().add_modifier(Modifier::BOLD)
    }

    pub(super) fn dim(&self) -> Style {
        Style::default().add_modifier(Modifier::DIM)
    }

    /// What is chosen.
    pub(super) fn chosen(&self) -> Style {
        Style::default().add_modifier(Modifier::BOLD | Modifier::REVERSED)
    }

    /// What nobody may overlook.
    pub(super) fn alarm(&self) -> Style {
        self.mood(Mood::Bad).add_modifier(Modifier::REVERSED)
    }

    fn colored(&self, color: Color, modifier: Modifier) -> Style {
        let style = Style::default().add_modifier(modifier);
        if self.has_color { style.fg(color) } else { style }
    }
}
