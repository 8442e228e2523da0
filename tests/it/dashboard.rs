//! The dashboard: who gets in, what pages hold, and what a person does with it in a real browser.

mod access;
mod change;
mod manage;
mod pictures;
mod speed;
mod story;
