//! The layers: built-in defaults < profile < former names of variables < file < variables < flags. The variables are those
//! of `.env` and of the environment.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::error::Problem;
use super::flags::Flags;
use super::profile::{PROFILES, Profile};
use super::raw::{Layer, origin, parse_toml, text};
use super::{dotenv, env, raw};

const DEFAULTS: &str = include_str!("../../config/default.toml");

/// Where to look. The default looks nowhere, which is what tests need. Not `Debug`: the environment holds secrets.
#[derive(Clone, Default)]
pub struct LoadOptions {
    /// The operator's file, which must exist.
    pub file: Option<PathBuf>,
    /// Without `file`, the first of these that exists is read.
    pub search: Vec<PathBuf>,
    /// A file of environment variables, read if it exists.
    pub dotenv: Option<PathBuf>,
    /// The environment.
    pub env: Vec<(String, String)>,
    /// The command line.
    pub flags: Flags,
}

impl LoadOptions {
    /// What a command reads: `file`, else `./spark.toml`, else `/etc/automagik-spark/spark.toml`; `./.env`; the
    /// environment of the process.
    pub fn from_process(file: Option<PathBuf>, flags: Flags) -> Self {
        let utf8 = |text: std::ffi::OsString| text.to_string_lossy().into_owned();
        Self {
            file,
            search: vec!["spark.toml".into(), "/etc/automagik-spark/spark.toml".into()],
            dotenv: Some(".env".into()),
            env: std::env::vars_os().map(|(name, value)| (utf8(name), utf8(value))).collect(),
            flags,
        }
    }
}

/// The layers laid over each other, and what was wrong with them as far as that can be told without their meaning.
pub(super) struct Loaded {
    pub(super) values: Layer,
    pub(super) profile: Profile,
    pub(super) file: Option<PathBuf>,
    /// The directory of the file that was read, or where the system keeps one: what belongs to it stands beside it.
    pub(super) home: Option<PathBuf>,
    pub(super) problems: Vec<Problem>,
    pub(super) warnings: Vec<String>,
}

/// Every key with its default.
pub(super) fn defaults() -> Layer {
    parse_toml(DEFAULTS, raw::DEFAULT).expect("default.toml is TOML: a test reads it")
}

pub(super) fn load(options: &LoadOptions) -> Loaded {
    let mut problems = Vec::new();
    let defaults = defaults();
    let (file, file_layer) = read_file(options, &mut problems);
    let dotenv =
        options.dotenv.as_deref().map(|path| read_dotenv(path, &options.env, &mut problems)).unwrap_or_default();
    let variables = env::read(&env::merge(dotenv, &options.env));
    problems.extend(variables.problems);

    let mut layers = [env::former_layer(&variables.former), file_layer, variables.layer, options.flags.layer()];
    let renamed = env::tell_former(&variables.former, &layers);
    for layer in &mut layers {
        take_unknown(layer, &defaults, &mut problems);
        take_pool_parameters(layer);
    }
    let profile = profile(&defaults, &layers, &mut problems);
    let mut values = defaults;
    values.extend(profile.layer());
    values.extend(layers.into_iter().flatten());
    let warnings = variables.warnings.into_iter().chain(renamed).collect();
    let home = home(file.as_deref(), &options.search);
    Loaded { values, profile, file, home, problems, warnings }
}

fn home(file: Option<&Path>, search: &[PathBuf]) -> Option<PathBuf> {
    let file = file.or_else(|| search.iter().map(PathBuf::as_path).find(|path| path.is_absolute()))?;
    Some(file.parent().unwrap_or(Path::new("")).to_owned())
}

pub(super) fn whole_file(path: &Path, message: String) -> Problem {
    let name = path.display().to_string();
    Problem { key: name.clone(), origin: name, message }
}

fn read_file(options: &LoadOptions, problems: &mut Vec<Problem>) -> (Option<PathBuf>, Layer) {
    let found = options.file.clone().or_else(|| options.search.iter().find(|path| path.exists()).cloned());
    let Some(path) = found else { return (None, Layer::new()) };
    let layer = match std::fs::read_to_string(&path) {
        Ok(text) => parse_toml(text.trim_start_matches('\u{feff}'), &path.display().to_string()),
        Err(error) => Err(format!("can't be read: {error}")),
    };
    let layer = layer.unwrap_or_else(|error| {
        problems.push(whole_file(&path, error));
        Layer::new()
    });
    (Some(path), layer)
}

/// The variables of a `.env` file. Nothing is set in the process: that is not safe once threads run.
fn read_dotenv(path: &Path, env: &[(String, String)], problems: &mut Vec<Problem>) -> Vec<(String, String)> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Vec::new(),
        Err(error) => {
            problems.push(whole_file(path, format!("can't be read: {error}")));
            return Vec::new();
        }
    };
    let given = |name: &str| env.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    dotenv::parse(&text, given).unwrap_or_else(|dotenv::Unread(line)| {
        // The line itself may be a secret.
        problems.push(whole_file(path, format!("line {line} is not NAME=value, or its quotes are not closed")));
        Vec::new()
    })
}

/// Takes out keys that do not exist. A table that came out empty is fine if it is a section.
fn take_unknown(layer: &mut Layer, known: &Layer, problems: &mut Vec<Problem>) {
    layer.retain(|key, value| {
        if known.contains_key(key) {
            return true;
        }
        let is_section =
            known.keys().any(|name| name.strip_prefix(key.as_str()).is_some_and(|rest| rest.starts_with('.')));
        let is_empty_table = matches!(&value.kind, config::ValueKind::Table(_));
        if !(is_section && is_empty_table) {
            let message = if is_section {
                "is a section: write its keys".to_owned()
            } else if key.starts_with("pools.") {
                "pools are a list: write [[pools]] with a name".to_owned()
            } else {
                let hint = closest(key, known.keys().map(String::as_str));
                let hint = hint.map(|name| format!("did you mean `{name}`?")).unwrap_or_else(|| SEE.to_owned());
                format!("there is no such key; {hint}")
            };
            problems.push(Problem { key: key.clone(), origin: origin(value).to_owned(), message });
        }
        false
    });
}

const SEE: &str = "docs/CONFIGURATION.md lists all keys";

/// The known name that was probably meant: the same key in another section, else one that is spelt almost the same.
pub(super) fn closest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let last = |path: &str| path.rsplit('.').next().map(str::to_owned);
    let score = |other: &str| if last(other) == last(name) { 1.0 } else { strsim::jaro_winkler(name, other) };
    known
        .map(|other| (score(other), other))
        .filter(|(score, _)| *score > 0.9)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, o)| o)
}

/// The Python service takes the pool's size from the url; it counts as written beside it, unless it is.
fn take_pool_parameters(layer: &mut Layer) {
    let Some(url) = layer.get("database.url") else { return };
    let place = format!("{}, in the url", origin(url));
    let Ok(url) = url::Url::parse(&url.to_string()) else { return };
    for (name, value) in url.query_pairs() {
        if name == "pool_size" || name == "max_overflow" {
            layer.entry(format!("database.{name}")).or_insert_with(|| text(&value, &place));
        }
    }
}

fn profile(defaults: &Layer, layers: &[Layer], problems: &mut Vec<Problem>) -> Profile {
    let written = layers.iter().rev().find_map(|layer| layer.get("profile")).unwrap_or(&defaults["profile"]);
    let name = written.to_string();
    Profile::named(name.trim()).unwrap_or_else(|| {
        let names = PROFILES.map(|profile| profile.name).join(", ");
        let message = format!("must be one of {names}, not `{name}`");
        problems.push(Problem { key: "profile".into(), origin: origin(written).to_owned(), message });
        PROFILES[0]
    })
}
