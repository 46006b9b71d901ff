//! Files on their way: uploads that are being received, reads, and the sweep of what has expired.

use alloc::{boxed::Box, format, vec::Vec};
use core::time::Duration;

use crate::{
    canonical,
    fabric::types::Author,
    guild::{
        Guild,
        channel::By,
        effect::Effect,
        fact::Fact,
        file::{self, FileRow, Received},
        io::{Incoming, Loaded, NotReceived, Output, Query, Question, Receive, Unavailable},
        node::LoadFor,
        outcome::Done,
        refusal::Refusal,
        serve::unreadable,
    },
    http::CallId,
    id::{FileId, UserId},
    machine::Wakeup,
    request::{RequestId, Requests},
    time::Time,
};

/// How often expired files are looked for. Until then they take room on the disk, but nobody can
/// read them.
const SWEEP_PERIOD: Duration = Duration::from_secs(10 * 60);
/// Files that are taken from the disk in one transaction: a sweep of very many does not hold posts
/// up for long.
const SWEEP_FILES_MAX: usize = 200;
/// The pause before the next of very many.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);
/// When to come back after there were too many uploads.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The files that are being received, and when expired ones are looked for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(super) struct Files {
    uploads: Requests<Receive, Upload>,
    sweep_at: Option<Time>,
}
canonical!(struct Files { uploads, sweep_at });

/// One file that is being received.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Upload {
    call: CallId,
    owner: Author,
    file: FileId,
}
canonical!(struct Upload { call, owner, file });

impl Files {
    /// Stops waiting for the upload of a call, or for any where there is none.
    pub(super) fn withdraw(&mut self, call: Option<CallId>) -> Option<RequestId<Receive>> {
        let unwanted = |upload: &Upload| call.is_none_or(|call| upload.call == call);
        self.uploads.withdraw(unwanted).map(|(id, _)| id)
    }

    /// Sees to it that a sweep comes.
    pub(super) fn expect(&mut self, now: Time) {
        self.sweep_at.get_or_insert(now + SWEEP_PERIOD);
    }

    pub(super) fn next_wakeup(&self) -> [Option<Wakeup>; 2] {
        let sweep = |at| Wakeup {
            at,
            why: "expired files",
        };
        [
            self.uploads.next_wakeup("an upload"),
            self.sweep_at.map(sweep),
        ]
    }
}

impl Guild {
    /// Somebody wants to upload a file.
    ///
    /// # Errors
    ///
    /// 409 where there is no room, 429 and 503 where too many are under way.
    pub(super) fn upload(
        &mut self,
        now: Time,
        call: CallId,
        owner: &Author,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        file::may_upload(&self.state, limits, &owner.id)?;
        let uploads = &self.files.uploads;
        let own = uploads
            .iter()
            .filter(|(_, other)| other.owner.id == owner.id);
        if own.count() >= limits.uploads_per_user_max {
            let words = "too many of your uploads are under way: wait until one is done";
            return Err(Refusal::for_now(429, words, RETRY_AFTER));
        }
        if uploads.len() >= limits.uploads_max {
            let words = "the node receives too many files at once";
            return Err(Refusal::for_now(503, words, RETRY_AFTER));
        }
        let (patience, bytes_max) = (limits.upload_patience, limits.file_bytes_max);
        let file = self.new_file_id();
        let upload = Upload {
            call,
            owner: owner.clone(),
            file: file.clone(),
        };
        let id = self.files.uploads.ask(now, Some(patience), upload);
        let incoming = Incoming {
            call,
            file,
            bytes_max,
        };
        out.push(Output::Receive(id, incoming));
        Ok(())
    }

    /// A file is on the disk, or is not.
    pub(super) fn on_received(
        &mut self,
        now: Time,
        id: RequestId<Receive>,
        file: FileId,
        received: Result<Received, NotReceived>,
        out: &mut Vec<Output>,
    ) {
        let Some(upload) = self.files.uploads.answer(id) else {
            return;
        };
        let by = By {
            author: &upload.owner,
            wall: self.clock.wall(now),
        };
        let limits = &self.config.limits;
        let facts = match received {
            Ok(received) => file::receive(&self.state, limits, by, upload.file, &received)
                .inspect_err(|_| out.push(Output::Discard(file))),
            Err(why) => Err(not_received(why, limits.file_bytes_max)),
        };
        match facts {
            Ok(facts) => {
                self.files.expect(now);
                self.commit(now, upload.call, facts, &Done::Received, out);
            }
            Err(refusal) => self.answer(now, upload.call, refusal.response(), out),
        }
    }

    /// Somebody wants to read a file.
    ///
    /// # Errors
    ///
    /// 404 where there is none, or none any more.
    pub(super) fn read_file(
        &mut self,
        now: Time,
        call: CallId,
        reader: &UserId,
        id: FileId,
        out: &mut Vec<Output>,
    ) -> Result<(), Refusal> {
        let wall = self.clock.wall(now);
        let row = file::existing(&self.state, &self.config.limits, wall, &id)?;
        if row.owner == *reader {
            let file = row.clone();
            self.deliver(now, call, file, out);
        } else {
            let purpose = LoadFor::File(call, reader.clone(), id.clone());
            self.load(now, Query::Attached(id), purpose, out);
        }
        Ok(())
    }

    /// The store has said where a file is attached, or could not in time.
    pub(super) fn on_attached(
        &mut self,
        now: Time,
        (call, reader, id): (CallId, &UserId, &FileId),
        loaded: Result<Loaded, Unavailable>,
        out: &mut Vec<Output>,
    ) {
        let channels = match loaded {
            Ok(Loaded::Channels(channels)) => channels,
            Ok(
                Loaded::Page(_) | Loaded::Message(_) | Loaded::Canvas(_) | Loaded::Command { .. },
            ) => return self.answer(now, call, unreadable("it answered another question"), out),
            Err(Unavailable(why)) => return self.answer(now, call, unreadable(&why), out),
        };
        let wall = self.clock.wall(now);
        let found = file::existing(&self.state, &self.config.limits, wall, id)
            .and_then(|row| file::may_read(&self.state, reader, &channels).map(|()| row));
        match found.cloned() {
            Ok(file) => self.deliver(now, call, file, out),
            Err(refusal) => self.answer(now, call, refusal.response(), out),
        }
    }

    /// Answers a call with a file, behind everything that was decided before it.
    fn deliver(&mut self, now: Time, call: CallId, file: FileRow, out: &mut Vec<Output>) {
        self.after(now, Effect::Deliver(call, Box::new(file)), out);
    }

    /// Uploads that take too long, and files that have expired.
    pub(super) fn tick_files(&mut self, now: Time, out: &mut Vec<Output>) {
        while let Some((id, upload)) = self.files.uploads.expire(now) {
            out.push(Output::Forget(Question::Receive(id)));
            let late = Refusal::new(408, "the file did not arrive in time");
            self.answer(now, upload.call, late.response(), out);
        }
        if self.files.sweep_at.is_some_and(|at| at <= now) {
            self.sweep(now, out);
        }
    }

    fn sweep(&mut self, now: Time, out: &mut Vec<Output>) {
        let (wall, limits) = (self.clock.wall(now), &self.config.limits);
        let files = self.state.files();
        let expired: Vec<_> = files
            .filter(|file| file.is_expired(limits, wall))
            .take(SWEEP_FILES_MAX)
            .map(|file| Fact::NoFile(file.id.clone()))
            .collect();
        let pause = if expired.len() < SWEEP_FILES_MAX {
            SWEEP_PERIOD
        } else {
            SWEEP_PAUSE
        };
        let effects = self.apply(now, &expired);
        let left = self.state.files_total().files > 0;
        self.files.sweep_at = left.then(|| now + pause);
        self.write(now, expired, effects, out);
    }

    fn new_file_id(&mut self) -> FileId {
        loop {
            let (high, low) = (self.rng.next_u64(), self.rng.next_u64());
            if let Some(id) = FileId::new(&format!("f{high:016x}{low:016x}"))
                && self.state.file(&id).is_none()
            {
                return id;
            }
        }
    }
}

fn not_received(why: NotReceived, bytes_max: u64) -> Refusal {
    match why {
        NotReceived::TooLarge => {
            Refusal::new(413, format!("the file is longer than {bytes_max} bytes"))
        }
        NotReceived::Malformed(why) => Refusal::bad(format!(
            "the body: {why}; send multipart/form-data with the file in the field `file`"
        )),
        NotReceived::Broken(why) => Refusal::bad(format!("the body broke off: {why}")),
        NotReceived::Disk(why) => Refusal::for_now(
            503,
            format!("the guild's disk did not take the file ({why}): try again later"),
            Duration::from_secs(60),
        ),
    }
}
