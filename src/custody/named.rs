//! Reads files that an operator names: the policy, secrets, traces. Such a path may lead to a FIFO,
//! a device or a file without an end. The daemon reads regular files only, never blocks, and stops
//! at a size limit.

use std::fs::{File, FileType, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::OFlag;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// How long a command waits for everything that a pipe has to say.
const PIPE_WITHIN: Duration = Duration::from_secs(10);

const PIECE: usize = 64 << 10;

/// Which kinds of file a caller reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accept {
    /// For the daemon: a pipe would make the loop wait for its writer.
    RegularFiles,
    /// For commands that run once: `check -c /dev/stdin`.
    RegularFilesAndPipes,
}

/// A file's content, with the metadata of the very file that was read.
#[derive(Debug)]
pub struct NamedFile {
    pub bytes: Vec<u8>,
    pub metadata: Metadata,
}

/// Reads the file at `path` whole, at most `limit` bytes.
///
/// # Errors
///
/// Fails for a file that is not of an accepted kind, that is larger than `limit`, or that has
/// nothing to read without waiting. The messages continue a sentence that names the path.
pub fn read_named(path: &Path, limit: u64, accept: Accept) -> io::Result<NamedFile> {
    // Opening some devices has effects, so the kind is looked at before, and again once it is open.
    judge(std::fs::metadata(path)?.file_type(), accept)?;
    let mut file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlag::O_NONBLOCK | OFlag::O_CLOEXEC | OFlag::O_NOCTTY).bits())
        .open(path)?;
    let metadata = file.metadata()?;
    judge(metadata.file_type(), accept)?;
    if metadata.len() > limit {
        return Err(too_large(limit));
    }
    let bytes = if metadata.file_type().is_fifo() {
        read_pipe(&mut file, limit)?
    } else {
        read_regular(&file, limit)?
    };
    Ok(NamedFile { bytes, metadata })
}

/// The same as text.
///
/// # Errors
///
/// Fails as [`read_named`] does, and for text that is not UTF-8.
pub fn read_named_text(path: &Path, limit: u64, accept: Accept) -> io::Result<String> {
    String::from_utf8(read_named(path, limit, accept)?.bytes).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(ErrorKind::InvalidData, format!("it is not UTF-8 text, at byte {at}"))
    })
}

fn judge(kind: FileType, accept: Accept) -> io::Result<()> {
    let pipes = accept == Accept::RegularFilesAndPipes;
    if kind.is_file() || (kind.is_fifo() && pipes) {
        return Ok(());
    }
    let named = if kind.is_dir() {
        "a directory"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else if kind.is_char_device() {
        "a terminal or another device"
    } else {
        "a device"
    };
    let wanted = if pipes { "a regular file or a pipe" } else { "a regular file" };
    Err(io::Error::new(ErrorKind::InvalidInput, format!("it is {named}, and not {wanted}")))
}

fn too_large(limit: u64) -> io::Error {
    let limit = match limit {
        bytes if bytes < 1 << 20 => format!("{} KiB", bytes >> 10),
        bytes => format!("{} MiB", bytes >> 20),
    };
    io::Error::new(ErrorKind::FileTooLarge, format!("it is larger than {limit}"))
}

/// Files of the kernel have no length beforehand, and some, as `/proc/kmsg`, wait for more.
fn read_regular(file: &File, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = file.take(limit.saturating_add(1)).read_to_end(&mut bytes);
    match read {
        Ok(length) if u64::try_from(length).unwrap_or(u64::MAX) > limit => Err(too_large(limit)),
        Ok(_) => Ok(bytes),
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "reading it to its end would wait for more: it is not a regular file on a disk",
        )),
        Err(error) => Err(error),
    }
}

#[expect(clippy::disallowed_methods, reason = "a command that waits for a pipe is run now")]
fn read_pipe(file: &mut File, limit: u64) -> io::Result<Vec<u8>> {
    let begun = Instant::now();
    let mut bytes = Vec::new();
    let mut piece = vec![0; PIECE];
    loop {
        let left = PIPE_WITHIN.saturating_sub(begun.elapsed());
        if left.is_zero() || !is_ready(file, left)? {
            let text = format!("its writer did not finish within {PIPE_WITHIN:?}");
            return Err(io::Error::new(ErrorKind::TimedOut, text));
        }
        match file.read(&mut piece) {
            Ok(0) => return Ok(bytes),
            Ok(length) => bytes.extend(piece.iter().take(length)),
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error),
        }
        if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > limit {
            return Err(too_large(limit));
        }
    }
}

/// Waits until the pipe has something to read or its writers are gone.
fn is_ready(file: &File, patience: Duration) -> io::Result<bool> {
    let mut fds = [PollFd::new(file.as_fd(), PollFlags::POLLIN)];
    let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    match poll(&mut fds, timeout) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(true),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixListener;
    use std::thread;

    use nix::sys::stat::Mode;
    use nix::unistd::mkfifo;

    use super::*;

    const LIMIT: u64 = 4096;

    /// Reads on a thread of its own, since a hang is what these tests look for.
    fn read(path: &Path, accept: Accept) -> Result<Vec<u8>, String> {
        let path = path.to_owned();
        let (done, result) = std::sync::mpsc::channel();
        thread::spawn(move || {
            let read = read_named(&path, LIMIT, accept);
            done.send(read.map(|file| file.bytes).map_err(|error| error.to_string())).ok();
        });
        result.recv_timeout(Duration::from_mins(5)).unwrap()
    }

    #[test]
    fn special_files_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let (fifo, socket) = (folder.path().join("fifo"), folder.path().join("socket"));
        mkfifo(&fifo, Mode::S_IRWXU).unwrap();
        let _listener = UnixListener::bind(&socket).unwrap();
        for (path, kind) in [
            (fifo.as_path(), "a pipe"),
            (socket.as_path(), "a socket"),
            (folder.path(), "a directory"),
            (Path::new("/dev/zero"), "device"),
            (Path::new("/dev/null"), "device"),
        ] {
            let error = read(path, Accept::RegularFiles).unwrap_err();
            assert!(error.contains(kind), "{}: {error}", path.display());
            if path != fifo {
                let error = read(path, Accept::RegularFilesAndPipes).unwrap_err();
                assert!(error.contains(kind), "{}: {error}", path.display());
            }
        }
    }

    #[test]
    fn a_file_beyond_the_limit_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        for (length, fits) in [(LIMIT, true), (LIMIT + 1, false)] {
            std::fs::write(&path, vec![b'x'; usize::try_from(length).unwrap()]).unwrap();
            let result = read(&path, Accept::RegularFiles);
            assert_eq!(result.is_ok(), fits, "{length}: {result:?}");
        }
        // Files of the kernel have a length of 0 beforehand.
        let generated = Path::new("/proc/self/smaps");
        assert_eq!(std::fs::metadata(generated).unwrap().len(), 0);
        let error = read(generated, Accept::RegularFiles).unwrap_err();
        assert!(error.contains("larger than 4 KiB"), "{error}");
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "the writer's thread blocks no runtime")]
    fn a_pipe_is_read_to_its_end_by_a_command() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pipe");
        mkfifo(&path, Mode::S_IRWXU).unwrap();
        let writer = |pieces: usize| {
            let path = path.clone();
            thread::spawn(move || {
                let mut pipe = OpenOptions::new().write(true).open(path).unwrap();
                for _ in 0..pieces {
                    // The reader hangs up once it has read too much.
                    pipe.write_all(&[b'x'; 1000]).ok();
                    thread::sleep(Duration::from_millis(20));
                }
            })
        };
        for (pieces, expected) in [(3, Ok(3000)), (5, Err("it is larger than 4 KiB".to_owned()))] {
            let writing = writer(pieces);
            let read = read(&path, Accept::RegularFilesAndPipes);
            assert_eq!(read.map(|bytes| bytes.len()), expected);
            writing.join().unwrap();
        }
        let error = read(&path, Accept::RegularFilesAndPipes).unwrap_err();
        assert!(error.contains("within 10s"), "{error}");
    }
}
