//! The guild's files on the disk: taken in as they come, and given out as they are asked for.

use std::{
    collections::BTreeSet,
    fs, io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    body::{Body, BodyDataStream, HttpBody},
    http::{
        HeaderMap, HeaderValue, Request, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, EXPECT,
            REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
        },
    },
    response::Response,
};
use bytes::Bytes;
use futures::{Stream, StreamExt as _};
use multer::{Constraints, Multipart, SizeLimit};
use selvedge_core::{
    fabric::routes::encoded,
    guild::{
        file::{FileRow, Received},
        io::{Incoming, NotReceived},
    },
    id::FileId,
};
use tokio::{
    io::AsyncWriteExt as _,
    task::spawn_blocking,
    time::{sleep, timeout},
};
use tower_http::services::ServeFile;
use tower_service::Service as _;

use super::{
    ServeError,
    http::{refusal, respond},
};

/// The field of the form that is the file.
const FIELD: &str = "file";

/// What a form may take besides the file, in bytes: boundaries, headers, other fields.
const FORM_BYTES_MAX: u64 = 64 << 10;

/// How much of a form is held in memory at most, in bytes: what was read and is not on its way to
/// the disk yet. Headers that are longer are refused.
const HELD_BYTES_MAX: u64 = 1 << 20;

/// How long a body may stop.
const STALL: Duration = Duration::from_secs(30);

/// How much of a body that is refused is read and thrown away, and for how long: most clients read
/// the refusal only after they have sent everything.
const DISCARD_BYTES_MAX: u64 = 16 << 20;
/// See [`DISCARD_BYTES_MAX`].
const DISCARD_PATIENCE: Duration = Duration::from_secs(5);

/// What ends the name of a file that is not whole yet.
const PART: &str = ".part";

/// The media types that are served as what they are. Others may be more than they look like to a
/// browser, and are served as bytes.
const HARMLESS: [&str; 12] = [
    "application/json",
    "application/pdf",
    "application/zip",
    "audio/mpeg",
    "audio/ogg",
    "audio/wav",
    "image/gif",
    "image/jpeg",
    "image/png",
    "image/webp",
    "text/plain",
    "video/mp4",
];

/// The folder of a guild's files: each is called by its id.
#[derive(Clone, Debug)]
pub(super) struct Disk {
    folder: Arc<Path>,
}

impl Disk {
    /// The folder, made where it is not there, without what a crash has left in it: files that are
    /// not whole, and those that no row of the store is about.
    pub(super) fn open(folder: &Path, known: &BTreeSet<FileId>) -> Result<Self, ServeError> {
        let failed = |source| ServeError::File {
            path: folder.to_path_buf(),
            source,
        };
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(folder).map_err(failed)?;
        let mut left = 0_usize;
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            // Whatever is called otherwise is not the guild's.
            let Some(id) = name.to_str().and_then(id_of) else {
                continue;
            };
            let is_whole = FileId::new(id).filter(|_| name == *id);
            if !is_whole.is_some_and(|id| known.contains(&id)) {
                fs::remove_file(entry.path()).map_err(failed)?;
                left += 1;
            }
        }
        if left > 0 {
            tracing::info!(
                left,
                "files that were not taken in before the last end are removed"
            );
        }
        Ok(Self {
            folder: folder.into(),
        })
    }

    fn path(&self, id: &FileId) -> io::Result<PathBuf> {
        match id_of(id.as_str()) {
            Some(name) if name == id.as_str() => Ok(self.folder.join(name)),
            Some(_) | None => Err(io::Error::other("not an id of a file")),
        }
    }

    /// Takes a file in from the body of a form. It is on the disk when this returns; where it
    /// fails, or is dropped, nothing is left of it.
    pub(super) async fn receive(
        &self,
        incoming: &Incoming,
        headers: &HeaderMap,
        body: &mut BodyDataStream,
    ) -> Result<Received, NotReceived> {
        let kind = headers
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok());
        let boundary = multer::parse_boundary(kind.unwrap_or_default())
            .map_err(|error| NotReceived::Malformed(error.to_string()))?;
        let stream_max = incoming.bytes_max.saturating_add(FORM_BYTES_MAX);
        if HttpBody::size_hint(body).lower() > stream_max {
            return Err(NotReceived::TooLarge);
        }
        let taken = Arc::new(AtomicU64::new(0));
        let metered = Metered {
            body,
            given: 0,
            taken: Arc::clone(&taken),
            paused: false,
        };
        let limit = SizeLimit::new().whole_stream(stream_max);
        let constraints = Constraints::new().size_limit(limit);
        let mut form = Multipart::with_constraints(metered, boundary, constraints);
        let mut field = loop {
            match in_time(form.next_field()).await? {
                Some(field) if field.name() == Some(FIELD) => break field,
                Some(_) => {}
                None => {
                    let words = format!("it has no field `{FIELD}`");
                    return Err(NotReceived::Malformed(words));
                }
            }
        };
        let (path, folder) = (self.path(&incoming.file), Arc::clone(&self.folder));
        let path = path.map_err(disk)?;
        let part = format!("{}.", incoming.file);
        let made = blocking(move || {
            let mut builder = tempfile::Builder::new();
            builder.prefix(&part).suffix(PART).tempfile_in(&folder)
        });
        let (file, part) = made.await.map_err(disk)?.into_parts();
        let mut file = tokio::fs::File::from_std(file);
        let mut bytes = 0_u64;
        while let Some(chunk) = in_time(field.chunk()).await? {
            bytes += chunk.len() as u64;
            if bytes > incoming.bytes_max {
                return Err(NotReceived::TooLarge);
            }
            file.write_all(&chunk).await.map_err(disk)?;
            taken.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        }
        file.flush().await.map_err(disk)?;
        file.sync_all().await.map_err(disk)?;
        let folder = Arc::clone(&self.folder);
        let kept = blocking(move || {
            part.persist(path).map_err(|error| error.error)?;
            fs::File::open(&folder)?.sync_all()
        });
        kept.await.map_err(disk)?;
        Ok(Received {
            name: field.file_name().map(str::to_owned),
            mime: field.content_type().map(ToString::to_string),
            bytes,
        })
    }

    /// A file as the answer to a request with these headers, which may ask for a part of it.
    pub(super) async fn deliver(&self, row: &FileRow, headers: &HeaderMap) -> Response {
        let missing = |why: &dyn std::fmt::Display| {
            tracing::error!(file = %row.id, %why, "a file cannot be read from the disk");
            respond(refusal(
                500,
                "the guild's disk does not give the file".into(),
            ))
        };
        let path = match self.path(&row.id) {
            Ok(path) => path,
            Err(error) => return missing(&error),
        };
        let mut request = Request::new(Body::empty());
        request.headers_mut().clone_from(headers);
        let answer = match ServeFile::new(path).call(request).await {
            Ok(answer) => answer.map(Body::new),
            Err(never) => match never {},
        };
        let mut answer = match answer.status() {
            StatusCode::OK
            | StatusCode::PARTIAL_CONTENT
            | StatusCode::NOT_MODIFIED
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::RANGE_NOT_SATISFIABLE => answer,
            other => return missing(&other),
        };
        let mime = match HARMLESS.contains(&row.mime.as_str()) {
            true => row.mime.as_str(),
            false => "application/octet-stream",
        };
        for (name, value) in [
            (CONTENT_TYPE, mime),
            (CONTENT_DISPOSITION, disposition(&row.name).as_str()),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox"),
            (REFERRER_POLICY, "no-referrer"),
            (CACHE_CONTROL, "no-store"),
        ] {
            // All of them are made of what a header can be.
            if let Ok(value) = HeaderValue::from_str(value) {
                answer.headers_mut().insert(name, value);
            }
        }
        answer
    }

    /// Takes a file from the disk.
    pub(super) fn discard(&self, id: &FileId) {
        let (id, path) = (id.clone(), self.path(id));
        spawn_blocking(move || match path.and_then(fs::remove_file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = %id, %error, "a file cannot be removed; the next start tries");
            }
            Ok(()) | Err(_) => tracing::debug!(file = %id, "a file is removed"),
        });
    }
}

/// Reads on in a body that is refused, so that its client comes to read the refusal.
pub(super) async fn discard(headers: &HeaderMap, body: &mut BodyDataStream) {
    if headers.contains_key(EXPECT) || HttpBody::size_hint(body).lower() > DISCARD_BYTES_MAX {
        return;
    }
    let all = async {
        let mut length = 0;
        while let Some(Ok(chunk)) = body.next().await {
            length += chunk.len() as u64;
            if length > DISCARD_BYTES_MAX {
                break;
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = sleep(DISCARD_PATIENCE) => {}
    }
}

/// The id that a file of the folder belongs to: `f` and 32 hexadecimal digits, and what comes after
/// a dot where it is not whole.
fn id_of(name: &str) -> Option<&str> {
    let (id, rest) = match name.split_once('.') {
        Some((id, rest)) => (id, Some(rest)),
        None => (name, None),
    };
    let digits = id.strip_prefix('f')?;
    let is_id = digits.len() == 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_part = rest.is_none_or(|rest| rest.ends_with(PART.trim_start_matches('.')));
    (is_id && is_part).then_some(id)
}

/// A `Content-Disposition` that makes a browser save the file (RFC 6266; the name as in RFC 8187).
fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|char| match char {
            ' '..='~' if !matches!(char, '"' | '\\' | '%') => char,
            _ => '_',
        })
        .collect();
    format!(
        "attachment; filename=\"{plain}\"; filename*=UTF-8''{}",
        encoded(name)
    )
}

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the parser has more ways to say that it is no form, and will get others"
)]
async fn in_time<T>(step: impl Future<Output = multer::Result<T>>) -> Result<T, NotReceived> {
    let Ok(step) = timeout(STALL, step).await else {
        let words = format!("nothing came for {} seconds", STALL.as_secs());
        return Err(NotReceived::Broken(words));
    };
    step.map_err(|error| match error {
        multer::Error::StreamSizeExceeded { .. } | multer::Error::FieldSizeExceeded { .. } => {
            NotReceived::TooLarge
        }
        multer::Error::StreamReadFailed(error) if error.is::<Overfull>() => {
            NotReceived::Malformed(error.to_string())
        }
        multer::Error::StreamReadFailed(error) => NotReceived::Broken(error.to_string()),
        multer::Error::IncompleteStream
        | multer::Error::IncompleteHeaders
        | multer::Error::IncompleteFieldData { .. } => NotReceived::Broken(error.to_string()),
        other => NotReceived::Malformed(other.to_string()),
    })
}

fn disk(error: io::Error) -> NotReceived {
    tracing::error!(%error, "the guild's disk does not take a file");
    NotReceived::Disk(error.kind().to_string())
}

async fn blocking<T: Send + 'static>(
    act: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    spawn_blocking(act).await.map_err(io::Error::other)?
}

/// A body that is read no faster than it is written: the parser of forms takes whatever is ready,
/// and would take a whole file into memory where the disk is slower than the network.
struct Metered<'b> {
    body: &'b mut BodyDataStream,
    given: u64,
    taken: Arc<AtomicU64>,
    /// It gave something in this poll already.
    paused: bool,
}

/// More is held than may be: there is no end of a form's headers, or of fields that nobody wants.
#[derive(Debug, thiserror::Error)]
#[error("its headers, or its fields other than the file, are longer than {HELD_BYTES_MAX} bytes")]
struct Overfull;

impl Stream for Metered<'_> {
    type Item = Result<Bytes, Box<dyn std::error::Error + Send + Sync>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if std::mem::take(&mut self.paused) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.given - self.taken.load(Ordering::Relaxed) > HELD_BYTES_MAX {
            return Poll::Ready(Some(Err(Overfull.into())));
        }
        let next = self.body.poll_next_unpin(context);
        if let Poll::Ready(Some(Ok(chunk))) = &next {
            self.given += chunk.len() as u64;
            self.paused = true;
        }
        next.map(|next| next.map(|chunk| chunk.map_err(Into::into)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_its_own_files_are_the_guilds() {
        let id = format!("f{}", "0a".repeat(16));
        assert_eq!(id_of(&id), Some(id.as_str()));
        assert_eq!(id_of(&format!("{id}.x8Zq.part")), Some(id.as_str()));
        for other in [
            "",
            "f",
            "guild.sqlite",
            "f00.part",
            &format!("{id}.txt"),
            &format!("{id}0"),
        ] {
            assert_eq!(id_of(other), None, "{other}");
        }
    }

    #[test]
    fn a_name_cannot_leave_its_header() {
        assert_eq!(
            disposition("a\"b\\c%d ü.txt"),
            "attachment; filename=\"a_b_c_d _.txt\"; filename*=UTF-8''a%22b%5Cc%25d%20%C3%BC.txt"
        );
        assert!(HeaderValue::from_str(&disposition("ü\u{1F600}\u{85}")).is_ok());
    }

    #[test]
    fn what_a_crash_has_left_is_removed_at_the_next_start() {
        let folder = tempfile::tempdir().unwrap();
        let name = |digit: &str| format!("f{}", digit.repeat(32));
        let part = format!("{}.abc.part", name("1"));
        for name in [&name("1"), &name("2"), &part, &"mine.txt".to_owned()] {
            fs::write(folder.path().join(name), "x").unwrap();
        }
        let known = BTreeSet::from([FileId::new(&name("1")).unwrap()]);
        Disk::open(folder.path(), &known).unwrap();
        let left = fs::read_dir(folder.path()).unwrap();
        let left: BTreeSet<_> = left.map(|it| it.unwrap().file_name()).collect();
        assert_eq!(left, BTreeSet::from([name("1").into(), "mine.txt".into()]));
    }
}
