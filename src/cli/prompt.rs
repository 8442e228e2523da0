//! Questions to whoever sits at the terminal. Without one (a script, cron, a pipe) nothing is ever asked.

use std::io::{self, BufRead, IsTerminal, Write};

use super::Error;
use super::render::clean;

/// Whether somebody can answer.
pub(super) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Whoever answers.
pub(super) struct Prompt<R, W> {
    input: R,
    output: W,
}

/// The person at the terminal. Questions go to stderr: stdout is for data.
pub(super) fn terminal() -> Prompt<io::StdinLock<'static>, io::Stderr> {
    Prompt { input: io::stdin().lock(), output: io::stderr() }
}

impl<R: BufRead, W: Write> Prompt<R, W> {
    /// A line of text. Empty means the default; without one it is asked again.
    pub(super) fn text(&mut self, question: &str, default: Option<&str>) -> Result<String, Error> {
        loop {
            match default.filter(|default| !default.is_empty()) {
                Some(default) => write!(self.output, "{} [{default}]: ", clean(question))?,
                None => write!(self.output, "{}: ", clean(question))?,
            }
            let line = self.line()?;
            match (line.is_empty(), default) {
                (false, _) => return Ok(line),
                (true, Some(default)) => return Ok(default.to_owned()),
                (true, None) => {}
            }
        }
    }

    /// One of several, by its number.
    pub(super) fn choice(&mut self, question: &str, options: &[String]) -> Result<usize, Error> {
        for (number, option) in (1..).zip(options) {
            writeln!(self.output, "  {number}  {}", clean(option))?;
        }
        loop {
            let line = self.text(question, Some("1"))?;
            match line.parse::<usize>() {
                Ok(number) if (1..=options.len()).contains(&number) => return Ok(number - 1),
                _ => writeln!(self.output, "a number from 1 to {}, please", options.len())?,
            }
        }
    }

    /// Whether to go on; only an explicit yes is one.
    pub(super) fn is_confirmed(&mut self, question: &str) -> Result<bool, Error> {
        write!(self.output, "{} [y/N]: ", clean(question))?;
        Ok(matches!(self.line()?.to_ascii_lowercase().as_str(), "y" | "yes"))
    }

    fn line(&mut self) -> Result<String, Error> {
        self.output.flush()?;
        let mut line = String::new();
        if self.input.read_line(&mut line)? == 0 {
            return Err(Error::Usage("the input ended before the answer; nothing was done".to_owned()));
        }
        Ok(line.trim().to_owned())
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli) fn scripted(answers: &str) -> Prompt<&[u8], Vec<u8>> {
        Prompt { input: answers.as_bytes(), output: Vec::new() }
    }

    #[test]
    fn a_bad_choice_is_asked_again() {
        let options = ["a".to_owned(), "b".to_owned()];
        let mut prompt = scripted("7\nx\n2\n");
        assert_eq!(prompt.choice("Which", &options).expect("answered"), 1);
        assert_eq!(String::from_utf8_lossy(&prompt.output).matches("please").count(), 2);
        assert_eq!(scripted("\n").choice("Which", &options).expect("the default"), 0);
    }

    #[test]
    fn only_yes_is_yes_and_the_end_is_an_error() {
        assert!(scripted("Yes\n").is_confirmed("Sure").expect("answered"));
        assert!(!scripted("\n").is_confirmed("Sure").expect("answered"));
        assert_eq!(scripted("").is_confirmed("Sure").expect_err("ended").exit_code(), 2);
    }
}
