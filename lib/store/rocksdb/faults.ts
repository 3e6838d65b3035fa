/** What the bindings' failures mean, as errors that say how to mend them. */
import { ConfigError, MillraceError, StateDirectoryError, StoreCorruptedError } from '../../errors.ts'

const text = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

/** RocksDB takes an OS lock on its LOCK file; the kernel drops it with the process, also after SIGKILL. */
const LOCKED = /lock hold by current process|lock file|\/LOCK:|already held by process|No locks available/i
const CORRUPTED =
  /corrupt|checksum mismatch|bad magic|truncated|missing files|MANIFEST|does not exist \(create_if_missing|not an sstable/i

/** Why a database could not be opened. */
export function openFault(cause: unknown, directory: string): MillraceError {
  if (cause instanceof MillraceError) return cause
  const details = { directory }
  const message = text(cause)
  if (LOCKED.test(message)) {
    return new StateDirectoryError(
      `The database ${directory} is open already, in this process or another one. Stop the other one, or give this one its own state directory. (${message})`,
      { cause, details }
    )
  }
  if (CORRUPTED.test(message)) return corrupted(cause, directory)
  return new StateDirectoryError(
    `The database ${directory} cannot be opened: ${message}. Is the directory on a local disk with free space, and may this user write to it?`,
    { code: 'ERR_STATE_DIRECTORY', cause, details }
  )
}

/** Why a read or write failed. */
export function callFault(cause: unknown, directory: string): MillraceError {
  if (cause instanceof MillraceError) return cause
  const inner = cause instanceof AggregateError ? cause.errors.find(Boolean) : cause
  const message = text(inner instanceof Error && inner.cause ? inner.cause : inner)
  if (CORRUPTED.test(message)) return corrupted(cause, directory)
  return new StateDirectoryError(
    `The database ${directory} failed: ${message}. Is the disk full or gone? Mend it; the task goes on from its last commit.`,
    { code: 'ERR_STATE_DIRECTORY', cause, details: { directory } }
  )
}

const corrupted = (cause: unknown, directory: string): StoreCorruptedError =>
  new StoreCorruptedError(
    `The files of the database ${directory} are damaged (${text(cause)}). Remove the directory: the state is rebuilt from the changelog.`,
    { cause, details: { directory } }
  )

/** Why the native module could not be loaded. */
export function loadFault(cause: unknown, binding: string, other: string): ConfigError {
  const message = text(cause)
  if (/libatomic/i.test(message)) {
    return new ConfigError(
      `The store binding "${binding}" needs the system library libatomic, which is missing here. Install it (Debian, Ubuntu: apt-get install libatomic1; ` +
        'Fedora, RHEL: dnf install libatomic; Alpine: apk add libatomic), or run with the store binding "memory".',
      { code: 'ERR_BINDING', cause, details: { binding } }
    )
  }
  return new ConfigError(
    `The store binding "${binding}" cannot be loaded on ${process.platform}-${process.arch}: ${message.split('\n')[0]}. ` +
      `Install it with \`npm install ${binding}\`, or choose the binding "${other}" or "memory".`,
    { code: 'ERR_BINDING', cause, details: { binding } }
  )
}
