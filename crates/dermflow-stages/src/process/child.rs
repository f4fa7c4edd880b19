//! A child process from its start to its end: told what it prints, stopped where asked, and
//! never left behind. Knows nothing of inputs and outputs.
//!
//! One thread does it all: it sleeps until the child prints, ends, or 50 ms have passed (to
//! look at messages and interruptions). The child leads a process group of its own, and the
//! whole group is ended with it.

use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use dermflow_core::{StageContext, StageError};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};

use super::folder::Folder;
use super::messages::{LastLines, Lines, Messages};
use super::parameters::ProcessParameters;

/// How often messages and interruptions are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long a program has to end by itself once it was asked to.
const GRACE: Duration = match cfg!(test) {
    false => Duration::from_secs(5),
    true => Duration::from_millis(300),
};

/// Runs the program to its end.
///
/// # Errors
/// Where it can't be started, fails, takes too long, or the run is interrupted.
pub fn run(
    parameters: &ProcessParameters,
    folder: &Folder,
    context: &mut dyn StageContext,
) -> Result<(), StageError> {
    let words = parameters.arguments();
    let name = words.first().copied().unwrap_or_default();
    let mut running = Running::start(parameters, folder, context)?;
    let mut messages = Messages::follow(&folder.messages);
    let limit = parameters.timeout.map(Duration::from_secs_f64);
    let ended = running.watch(limit, &mut messages, context);
    messages.finish(context);
    let last = &running.last;
    match ended? {
        End::Status(status) if status.success() => Ok(()),
        End::Status(status) => Err(StageError::new(format!(
            "the program `{name}` {}; {last}",
            in_words(status)
        ))),
        End::Cancelled => Err(StageError::cancelled()),
        End::TimedOut => {
            let seconds = parameters.timeout.unwrap_or_default();
            let message = format!("the program `{name}` took longer than its timeout of {seconds} s; {last}");
            Err(StageError::new(message))
        }
    }
}

/// How a program ended.
enum End {
    Status(ExitStatus),
    Cancelled,
    TimedOut,
}

/// A program at work. Dropping it ends the whole group: no way out of [`run`] leaves one.
struct Running {
    child: Child,
    group: Pid,
    reaped: bool,
    /// Becomes readable when the child ends; none where the system has no such thing.
    end: Option<OwnedFd>,
    output: std::io::PipeReader,
    /// Whether the pipe has no writer left.
    silent: bool,
    lines: Lines,
    last: LastLines,
}

impl Running {
    fn start(
        parameters: &ProcessParameters,
        folder: &Folder,
        context: &dyn StageContext,
    ) -> Result<Running, StageError> {
        let words = parameters.arguments();
        let name = words.first().copied().unwrap_or_default();
        let failed = |error: std::io::Error| {
            let message = format!("the program `{name}` could not be started: {error}");
            StageError::new(message).with_help(format!("it is looked up in {}", parameters.path_variable()))
        };
        // The very file that was hashed into the key, if the engine looked it up; a path, also
        // because that spares a slower way of starting programs.
        let program = context
            .tool()
            .or_else(|| parameters.tool().and_then(|tool| tool.find(&folder.work)));
        let program = program.unwrap_or_else(|| folder.work.join(name));
        let (output, writer) = std::io::pipe().map_err(failed)?;
        let mut command = Command::new(&program);
        command
            .args(&words[1..])
            .current_dir(&folder.work)
            .env_clear()
            .env("PATH", parameters.path_variable())
            .env("HOME", &folder.work)
            .env("TMPDIR", &folder.work)
            .env("LANG", "C.UTF-8")
            .envs(&parameters.environment)
            .env("DERMFLOW_CONTEXT", &folder.context)
            .stdin(Stdio::null())
            .stdout(writer.try_clone().map_err(failed)?)
            .stderr(writer)
            .process_group(0);
        let child = command.spawn().map_err(failed)?;
        // The command still holds the pipe's writing end, and would keep it open.
        drop(command);
        let group = Pid::from_child(&child);
        rustix::io::ioctl_fionbio(&output, true).map_err(|error| failed(error.into()))?;
        Ok(Running {
            child,
            group,
            reaped: false,
            end: end_of(group),
            output,
            silent: false,
            lines: Lines::default(),
            last: LastLines::default(),
        })
    }

    /// Waits for the end, telling what comes; stops the program where it has to.
    fn watch(
        &mut self,
        limit: Option<Duration>,
        messages: &mut Messages,
        context: &mut dyn StageContext,
    ) -> Result<End, StageError> {
        let started = Instant::now();
        let mut asked: Option<(Instant, End)> = None;
        let mut looked = started;
        loop {
            let ended = self.sleep()?;
            self.drain(context);
            if ended {
                let status = self.reap()?;
                self.drain(context);
                self.lines.finish(&mut |line| {
                    context.log(line);
                    self.last.push(line);
                });
                return Ok(asked.map_or(End::Status(status), |(_, why)| why));
            }
            let now = Instant::now();
            if now - looked >= LOOK {
                looked = now;
                messages.tell(context);
            }
            match &asked {
                Some((since, _)) if now - *since >= GRACE => self.signal(Signal::KILL),
                Some(_) => {}
                None if context.cancelled() => {
                    self.signal(Signal::TERM);
                    asked = Some((now, End::Cancelled));
                }
                None if limit.is_some_and(|limit| now - started >= limit) => {
                    self.signal(Signal::TERM);
                    asked = Some((now, End::TimedOut));
                }
                None => {}
            }
        }
    }

    /// Sleeps until something happens; true once the child has ended (it isn't reaped yet, so
    /// its group's number can't be given to another).
    fn sleep(&self) -> Result<bool, StageError> {
        let mut watched = Vec::with_capacity(2);
        if let Some(end) = &self.end {
            watched.push(PollFd::new(end, PollFlags::IN));
        }
        if !self.silent {
            watched.push(PollFd::from_borrowed_fd(self.output.as_fd(), PollFlags::IN));
        }
        // Without a sign of the end, looking often is what is left.
        let longest = if self.end.is_some() {
            LOOK
        } else {
            Duration::from_millis(2)
        };
        let longest = Timespec {
            tv_sec: 0,
            tv_nsec: longest.subsec_nanos().into(),
        };
        match poll(&mut watched, Some(&longest)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(StageError::new(format!("waiting for the program: {error}"))),
        }
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        match waitid(WaitId::Pid(self.group), options) {
            Ok(ended) => Ok(ended.is_some()),
            Err(rustix::io::Errno::INTR) => Ok(false),
            Err(error) => Err(StageError::new(format!("waiting for the program: {error}"))),
        }
    }

    /// Tells what was printed so far.
    fn drain(&mut self, context: &dyn StageContext) {
        let mut bytes = [0; 16 << 10];
        // A program that prints without end must not keep us from looking at its end.
        for _ in 0..64 {
            match self.output.read(&mut bytes) {
                Ok(0) => {
                    self.silent = true;
                    return;
                }
                Ok(count) => self.lines.take(&bytes[..count], &mut |line| {
                    context.log(line);
                    self.last.push(line);
                }),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }

    /// Ends what is left of the group and takes the child's status.
    fn reap(&mut self) -> Result<ExitStatus, StageError> {
        self.signal(Signal::KILL);
        self.reaped = true;
        let status = self.child.wait();
        status.map_err(|error| StageError::new(format!("waiting for the program: {error}")))
    }

    fn signal(&self, signal: Signal) {
        // It fails only where nobody is left to get it.
        let _ = kill_process_group(self.group, signal);
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.reaped {
            let _ = self.reap();
        }
    }
}

#[cfg(target_os = "linux")]
fn end_of(child: Pid) -> Option<OwnedFd> {
    rustix::process::pidfd_open(child, rustix::process::PidfdFlags::empty()).ok()
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: Pid) -> Option<OwnedFd> {
    None
}

/// `ended with exit status 3`, `was killed by signal 9 (SIGKILL)`.
fn in_words(status: ExitStatus) -> String {
    let Some(signal) = status.signal() else {
        return format!("ended with exit status {}", status.code().unwrap_or_default());
    };
    let name = match signal {
        1 => " (SIGHUP)",
        2 => " (SIGINT)",
        4 => " (SIGILL, an illegal instruction)",
        6 => " (SIGABRT, it gave up)",
        8 => " (SIGFPE, an arithmetic fault)",
        9 => " (SIGKILL, at times for want of memory)",
        11 => " (SIGSEGV, a memory fault)",
        13 => " (SIGPIPE)",
        15 => " (SIGTERM)",
        _ => "",
    };
    format!("was killed by signal {signal}{name}")
}
