//! The folder of files that an agent's host and its guilds exchange: the only one that tools look into.
//!
//! Whoever writes to an agent may talk it into asking for any path, so nothing outside of the folder is
//! read, and what comes down never replaces anything but an earlier copy of the same file.

use std::{
    fs, io,
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use reqwest::{
    Body, Response as Answer,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
    multipart::{Form, Part},
};
use selvedge_core::{fabric::routes::decoded, http::Failure, plugin::transfer::Saved};
use tokio::{io::AsyncWriteExt as _, task::spawn_blocking};

use crate::report::clipped;

/// The form's field that carries a file.
const FIELD: &str = "file";

/// The longest name that a file gets, in bytes, besides its id: with that it is what file systems take.
const NAME_BYTES_MAX: usize = 100;

/// How much of a path or a name is repeated in words.
const WORDS_MAX: usize = 200;

/// The folder, if there is one, and how much is written into it at once.
#[derive(Clone, Debug)]
pub struct Files {
    folder: Option<Arc<Path>>,
    bytes_max: u64,
}

impl Files {
    /// The folder, made for this user alone where it is not there. Files longer than `bytes_max` are
    /// not downloaded.
    ///
    /// # Errors
    ///
    /// Where there is no such folder and it cannot be made.
    pub fn open(folder: Option<&Path>, bytes_max: u64) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        let folder = folder.map(|folder| {
            let mut builder = fs::DirBuilder::new();
            builder.recursive(true).mode(0o700).create(folder)?;
            folder.canonicalize().map(Arc::from)
        });
        Ok(Self {
            folder: folder.transpose()?,
            bytes_max,
        })
    }

    fn folder(&self) -> Result<Arc<Path>, Failure> {
        self.folder.clone().ok_or_else(|| {
            local(
                "the plugin has no folder for files: its operator sets [files] dir in the \
                 configuration",
            )
        })
    }

    /// The file at a path as a form.
    pub(crate) async fn form(&self, path: &str, name: Option<&str>) -> Result<Form, Failure> {
        let (folder, asked) = (self.folder()?, path.to_owned());
        let opened = spawn_blocking(move || open_in(&folder, &asked)).await;
        let opened = opened.map_err(|error| local(&error.to_string()))?;
        let (file, found, length) = opened.map_err(|why| local(&why))?;
        let own = found.file_name().map(|name| name.to_string_lossy());
        let name = name.map_or_else(|| own.unwrap_or_default().into_owned(), str::to_owned);
        let mime = mime_guess::from_path(&name).first_or_octet_stream();
        let file = tokio::fs::File::from_std(file);
        let part = Part::stream_with_length(Body::from(file), length).file_name(name);
        let part = part
            .mime_str(mime.essence_str())
            .map_err(|error| local(&error.to_string()))?;
        Ok(Form::new().part(FIELD, part))
    }

    /// Whether a file can be written at all: asked before it is fetched.
    pub(crate) fn can_save(&self) -> Result<(), Failure> {
        self.folder().map(drop)
    }

    /// Writes the body of an answer to a file that is called by its id and name.
    pub(crate) async fn save(
        &self,
        mut answer: Answer,
        id: &str,
        name: Option<&str>,
    ) -> Result<Saved, Failure> {
        let folder = self.folder()?;
        let header = |name| answer.headers().get(name)?.to_str().ok();
        let given = header(CONTENT_DISPOSITION).and_then(file_name);
        let name = plain(id, name.or(given.as_deref()).unwrap_or_default());
        let mime = header(CONTENT_TYPE).unwrap_or_default().to_owned();
        let too_long = || {
            local(&format!(
                "the file is longer than {} bytes, and more is not taken: its operator can raise \
                 [files] bytes_max",
                self.bytes_max
            ))
        };
        if answer
            .content_length()
            .is_some_and(|it| it > self.bytes_max)
        {
            return Err(too_long());
        }
        let place = Arc::clone(&folder);
        let made = blocking(move || {
            let mut builder = tempfile::Builder::new();
            builder.prefix(".").suffix(".part").tempfile_in(place)
        });
        // Dropped, it takes its file away.
        let (file, part) = made.await?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut bytes = 0_u64;
        while let Some(chunk) = answer.chunk().await.map_err(crate::http::fault)? {
            bytes += chunk.len() as u64;
            if bytes > self.bytes_max {
                return Err(too_long());
            }
            file.write_all(&chunk).await.map_err(|error| disk(&error))?;
        }
        file.flush().await.map_err(|error| disk(&error))?;
        let path = folder.join(name);
        let shown = path.display().to_string();
        blocking(move || part.persist(path).map_err(|error| error.error)).await?;
        Ok(Saved {
            path: shown,
            mime,
            bytes,
        })
    }
}

/// Opens a file below the folder; its path and length.
fn open_in(folder: &Path, path: &str) -> Result<(fs::File, PathBuf, u64), String> {
    let shown = clipped(path, WORDS_MAX);
    let at = folder.display();
    // A link is followed, and where it leads is what counts.
    let found = folder.join(path).canonicalize();
    let found = found.map_err(|error| format!("there is no file {shown} below {at}: {error}"))?;
    if !found.starts_with(folder) {
        return Err(format!(
            "{shown} is not below {at}, and other folders are not read: copy the file there first"
        ));
    }
    // Whoever opens a pipe would wait for its other end.
    let opened = fs::OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(&found)
        .and_then(|file| Ok((file.metadata()?, file)));
    match opened {
        Ok((known, file)) if known.is_file() => Ok((file, found, known.len())),
        Ok(_) => Err(format!("{shown} is no file")),
        Err(error) => Err(format!("{shown} cannot be read: {error}")),
    }
}

/// The name of a `Content-Disposition` (RFC 6266, as RFC 8187 writes it).
fn file_name(header: &str) -> Option<String> {
    let (_, encoded) = header.split_once("filename*=UTF-8''")?;
    decoded(encoded.split(';').next()?.trim())
}

/// What a file is called here: its id, and of its name what is harmless in any folder.
fn plain(id: &str, name: &str) -> String {
    let clean = |text: &str| -> String {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        last.chars()
            .map(|char| match char {
                '.' | '-' | '_' => char,
                _ if char.is_alphanumeric() => char,
                _ => '_',
            })
            .collect()
    };
    let mut called = clean(id);
    called = called.trim_start_matches('.').to_owned();
    let name = clean(name);
    if !name.is_empty() {
        called.push('-');
        let room = called.len() + NAME_BYTES_MAX;
        // The end of a name says what it is.
        let from = name
            .char_indices()
            .map(|(at, _)| at)
            .find(|at| called.len() + name.len() - at <= room);
        called.push_str(from.and_then(|at| name.get(at..)).unwrap_or_default());
    }
    called
}

fn local(why: &str) -> Failure {
    Failure::Local(why.into())
}

fn disk(error: &io::Error) -> Failure {
    local(&format!("the folder of files does not take it: {error}"))
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, Failure> {
    let done = spawn_blocking(act).await.map_err(io::Error::other);
    done.and_then(|done| done).map_err(|error| disk(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, PathBuf) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().canonicalize().unwrap().join("files");
        Files::open(Some(&folder), 1).unwrap();
        (root, folder)
    }

    #[test]
    fn nothing_outside_of_the_folder_is_read() {
        let (root, folder) = folder();
        fs::write(root.path().join("secret"), "s").unwrap();
        fs::write(folder.join("a.txt"), "abc").unwrap();
        fs::create_dir(folder.join("sub")).unwrap();
        std::os::unix::fs::symlink(root.path().join("secret"), folder.join("link")).unwrap();
        std::os::unix::fs::symlink(folder.join("a.txt"), folder.join("good")).unwrap();
        let own = folder.join("a.txt").display().to_string();
        for path in ["a.txt", "sub/../a.txt", "good", own.as_str()] {
            let (_, found, length) = open_in(&folder, path).unwrap();
            assert_eq!((found, length), (folder.join("a.txt"), 3), "{path}");
        }
        for (path, words) in [
            ("../secret", "not below"),
            ("link", "not below"),
            ("/etc/passwd", "not below"),
            ("sub", "no file"),
            ("nothing", "there is no file"),
            ("a\0b", "there is no file"),
            ("", "no file"),
        ] {
            let why = open_in(&folder, path).unwrap_err();
            assert!(why.contains(words), "{path}: {why}");
        }
    }

    #[test]
    fn a_pipe_is_no_file_and_is_not_waited_for() {
        let (_root, folder) = folder();
        let pipe = folder.join("pipe");
        let mode = rustix::fs::Mode::RUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        let why = open_in(&folder, "pipe").unwrap_err();
        assert!(why.contains("no file"), "{why}");
    }

    #[test]
    fn what_comes_down_is_called_by_its_id_and_harmlessly() {
        for (id, name, called) in [
            ("f1", "report.pdf", "f1-report.pdf"),
            ("f1", "", "f1"),
            ("f1", "../../.bashrc", "f1-.bashrc"),
            ("..", "..", "-.."),
            ("f/1", "a b\n\u{202e}c", "1-a_b__c"),
        ] {
            assert_eq!(plain(id, name), called);
        }
        let long = format!("{}.pdf", "ü".repeat(200));
        let called = plain("f1", &long);
        assert!(called.len() <= 103 && called.ends_with("ü.pdf"), "{called}");
    }

    #[test]
    fn the_name_is_read_from_its_header() {
        let header = "attachment; filename=\"a_b\"; filename*=UTF-8''a%20%C3%BCb; x=y";
        assert_eq!(file_name(header), Some("a üb".into()));
        assert_eq!(file_name("attachment"), None);
        assert_eq!(file_name("attachment; filename*=UTF-8''%ff"), None);
    }
}
