//! A program on a terminal that a test makes, and what it draws there.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZeroU16;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use rustix::process::Signal;
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};
use vt100::{Color, Parser};

use crate::harness::node::{SOON, send};
use crate::harness::until;

/// The terminal with the program on it, which is killed when this is dropped.
pub(super) struct PseudoTerminal {
    keyboard: File,
    line: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<Parser>>,
    process: Child,
}

impl PseudoTerminal {
    pub(super) fn start(program: Command, width: u16, height: u16) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&keyboard).expect("ours");
        unlockpt(&keyboard).expect("ours");
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let line = ioctl_tiocgptpeer(&keyboard, flags).expect("its other end");
        tcsetwinsize(&line, size(width, height)).expect("a size");
        let before = tcgetattr(&line).expect("a terminal");

        // The terminal is to be the program's controlling one, as a shell's is: it hears of sizes through it.
        let mut session = Command::new("setsid");
        session.arg("--ctty").arg(program.get_program()).args(program.get_args()).env_clear();
        session.envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        session.current_dir(program.get_current_dir().expect("a directory"));
        session.env("PATH", "/usr/bin:/bin").env("TERM", "xterm-256color");
        let end = || Stdio::from(line.try_clone().expect("a copy"));
        let process = session.stdin(end()).stdout(end()).stderr(end()).spawn().expect("setsid of util-linux runs");

        let screen = Arc::new(Mutex::new(Parser::new(cells(height), cells(width), 0)));
        let mut shown = File::from(keyboard.try_clone().expect("a copy"));
        std::thread::spawn({
            let screen = screen.clone();
            move || {
                let mut buffer = [0; 4096];
                // It ends when nobody has the other end any more.
                while let Ok(count @ 1..) = shown.read(&mut buffer) {
                    screen.lock().expect("lock").process(&buffer[..count]);
                }
            }
        });
        Self { keyboard: File::from(keyboard), line, before, screen, process }
    }

    pub(super) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).expect("typed");
    }

    pub(super) fn resize(&self, width: u16, height: u16) {
        self.screen.lock().expect("lock").screen_mut().set_size(cells(height), cells(width));
        tcsetwinsize(&self.keyboard, size(width, height)).expect("another size");
    }

    pub(super) fn signal(&self, signal: Signal) {
        send(self.process.id(), signal);
    }

    /// What stands on the screen now.
    pub(super) fn text(&self) -> String {
        self.screen.lock().expect("lock").screen().contents()
    }

    pub(super) async fn until_shown(&self, text: &str) {
        self.until(&format!("`{text}` is shown"), |shown| shown.contains(text)).await;
    }

    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&str) -> bool) {
        let shown = async || Some(()).filter(|()| is_so(&self.text()));
        let Ok(()) = tokio::time::timeout(SOON, until(what, SOON * 2, shown)).await else {
            panic!("{what}: not within {SOON:?}, but:\n{}", self.text());
        };
    }

    /// Whether the program has the whole screen and reads single keys.
    pub(super) fn is_taken_over(&self) -> bool {
        let screen = self.screen.lock().expect("lock");
        screen.screen().alternate_screen() && screen.screen().hide_cursor() && self.modes() != modes(&self.before)
    }

    /// The terminal is as the program found it.
    #[track_caller]
    pub(super) fn assert_given_back(&self) {
        assert_eq!(self.modes(), modes(&self.before));
        let screen = self.screen.lock().expect("lock");
        assert!(!screen.screen().alternate_screen(), "another screen is shown");
        assert!(!screen.screen().hide_cursor(), "the cursor is hidden");
    }

    pub(super) fn has_colors(&self) -> bool {
        let screen = self.screen.lock().expect("lock");
        let (height, width) = screen.screen().size();
        let cells = (0..height.get()).flat_map(|row| (0..width.get()).map(move |column| (row, column)));
        let mut cells = cells.filter_map(|(row, column)| screen.screen().cell(row, column));
        cells.any(|cell| cell.fgcolor() != Color::Default || cell.bgcolor() != Color::Default)
    }

    /// The exit code, once all that the program wrote is on the screen.
    pub(super) async fn wait_exit(&mut self) -> Option<i32> {
        let process = &mut self.process;
        let status = until("top ends", SOON, async || process.try_wait().expect("waited for")).await;
        let screen = self.screen.clone();
        until("its last words are read", SOON, async || {
            let screen = screen.lock().expect("lock");
            (!screen.screen().alternate_screen() && !screen.screen().hide_cursor()).then_some(())
        })
        .await;
        status.code()
    }

    fn modes(&self) -> String {
        modes(&tcgetattr(&self.line).expect("a terminal"))
    }
}

impl Drop for PseudoTerminal {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn modes(termios: &Termios) -> String {
    format!("{:?} {:?} {:?}", termios.input_modes, termios.output_modes, termios.local_modes)
}

fn size(width: u16, height: u16) -> Winsize {
    Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 }
}

fn cells(count: u16) -> NonZeroU16 {
    NonZeroU16::new(count).expect("a size")
}
