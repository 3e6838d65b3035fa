/** The lock of a task's directory: held by the operating system for this process, so that it is gone when the process is. */
import { closeSync, constants, openSync, readFileSync, writeFileSync } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { connect, createServer, type Server } from 'node:net'
import { hostname } from 'node:os'
import { join } from 'node:path'
import { StateDirectoryError } from '../errors.ts'
import { type Clock, systemClock } from '../time.ts'
import { makeDirectory } from './makeDirectory.ts'

export interface DirectoryLock {
  /** Clean: the next one may take the directory at once. Safe to call twice. */
  release(): Promise<void>
}

export interface LockOwner {
  readonly applicationId: string
  readonly taskId: string
  readonly clock?: Clock
}

/** Who holds it, for the message of the one who is refused. */
interface Holder {
  readonly pid: number
  readonly host: string
  readonly applicationId: string
  readonly taskId: string
}

/** Beside the database; says who holds the lock, and is the lock itself on macOS and BSD. */
const FILE = 'millrace.lock'
/** How long a holder may take to say who it is. A stopped process (SIGSTOP) still holds, and does not answer. */
const ANSWER_MS = 300

/**
 * Locks `directory` (made when missing) for one task of this process.
 *
 * Node has no flock, and a pid file is never safe: the pid may be used again, and of two that find the same stale file the slower one removes the
 * fresh file of the faster (A reads "dead", B reads "dead", A removes and writes its own, B removes A's and writes its own: both hold). So the
 * lock is a name that the kernel gives to one process at a time and takes back with the process, SIGKILL included:
 * - Linux: an abstract socket named by the directory's device and inode; there is no file that could be stale, and bind either has the name or not.
 *   It reaches as far as the network namespace: containers that share a volume are told apart by RocksDB's own LOCK file (an fcntl lock).
 * - Windows: a named pipe of the same name.
 * - macOS, BSD: the file is opened with O_EXLOCK, which is flock.
 *
 * @throws StateDirectoryError ERR_STATE_LOCKED with the holder's pid and host; ERR_STATE_DIRECTORY when the directory cannot be made.
 * @example
 * const lock = await lockDirectory(join(stateDir, 'shop', '0_1'), { applicationId: 'shop', taskId: '0_1' })
 * await lock.release()
 */
export async function lockDirectory(directory: string, owner: LockOwner): Promise<DirectoryLock> {
  await makeDirectory(directory)
  const holder: Holder = {
    pid: process.pid,
    host: hostname(),
    applicationId: owner.applicationId,
    taskId: owner.taskId
  }
  return process.platform === 'linux' || process.platform === 'win32'
    ? lockByName(directory, holder, owner.clock ?? systemClock)
    : lockByFile(directory, holder)
}

async function lockByName(directory: string, holder: Holder, clock: Clock): Promise<DirectoryLock> {
  const { dev, ino } = await stat(directory, { bigint: true })
  // Filled up to the 108 bytes of a socket address: Node 20 pads a shorter abstract name with zeros, later ones do not, and the two
  // would not see each other's locks.
  const word = `millrace-${dev}-${ino}`.padEnd(107, '.')
  const name = process.platform === 'win32' ? `\\\\.\\pipe\\${word}` : `\0${word}`
  for (let attempt = 0; ; attempt++) {
    const server = await bind(name, holder)
    if (server) {
      const file = join(directory, FILE)
      writeFileSync(file, JSON.stringify(holder))
      let released: Promise<void> | undefined
      const release = async (): Promise<void> => {
        // The file goes first: behind the close it may be the next holder's.
        await rm(file, { force: true })
        await new Promise<void>((resolve) => server.close(() => resolve()))
      }
      return {
        release: () => {
          released ??= release()
          return released
        }
      }
    }
    // The holder may go between our bind and our question: then nobody listens, and we try again.
    const answer = await ask(name, clock)
    if (answer !== 'gone' || attempt >= 20)
      throw locked(directory, answer === 'gone' ? undefined : (answer ?? noted(directory)))
  }
}

/** The server that has the name, or undefined when another has it. */
function bind(name: string, holder: Holder): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((socket) => {
      socket.on('error', () => {})
      socket.end(JSON.stringify(holder), () => socket.destroy()) // a caller that is stopped must not hold up our release
    })
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE' || error.code === 'EACCES') resolve(undefined)
      else reject(error)
    })
    // exclusive: under node:cluster the primary would otherwise listen for all workers, and every worker would get the lock.
    server.listen({ path: name, exclusive: true }, () => {
      server.unref()
      resolve(server)
    })
  })
}

/** Asks the holder who it is; undefined when it does not say. */
function ask(name: string, clock: Clock): Promise<Holder | undefined | 'gone'> {
  return new Promise((resolve) => {
    const socket = connect({ path: name })
    let text = ''
    const timer = clock.setTimeout(() => finish(undefined), ANSWER_MS)
    const finish = (answer: Holder | undefined | 'gone'): void => {
      clock.clearTimeout(timer)
      socket.destroy()
      resolve(answer)
    }
    socket.setEncoding('utf8')
    socket.on('data', (part: string) => {
      text += part
    })
    socket.on('end', () => finish(parse(text)))
    socket.on('error', (error: NodeJS.ErrnoException) => {
      finish(error.code === 'ECONNREFUSED' || error.code === 'ENOENT' ? 'gone' : undefined)
    })
  })
}

function lockByFile(directory: string, holder: Holder): DirectoryLock {
  const file = join(directory, FILE)
  const exclusive = (constants as { O_EXLOCK?: number }).O_EXLOCK ?? 0x20
  let fd: number
  try {
    fd = openSync(file, constants.O_CREAT | constants.O_RDWR | constants.O_NONBLOCK | exclusive, 0o644)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    if (code === 'EAGAIN' || code === 'EWOULDBLOCK') throw locked(directory, noted(directory), cause)
    throw cause
  }
  writeFileSync(file, JSON.stringify(holder)) // the same inode: the lock stays
  let open = true
  return {
    async release() {
      // The file stays: removed, a waiter could lock the old inode and another one a new file.
      if (open) closeSync(fd)
      open = false
    }
  }
}

/** Who is written in the directory; may be the one before the present holder. */
function noted(directory: string): Holder | undefined {
  try {
    return parse(readFileSync(join(directory, FILE), 'utf8'))
  } catch {
    return undefined
  }
}

function parse(text: string): Holder | undefined {
  try {
    const holder = JSON.parse(text) as Holder
    return typeof holder.pid === 'number' ? holder : undefined
  } catch {
    return undefined
  }
}

function locked(directory: string, holder: Holder | undefined, cause?: unknown): StateDirectoryError {
  const own = holder?.pid === process.pid && holder.host === hostname()
  const who = !holder
    ? 'another process'
    : own
      ? `task ${holder.taskId} of application "${holder.applicationId}" in this same process (pid ${holder.pid})`
      : `process ${holder.pid} on ${holder.host} (task ${holder.taskId} of application "${holder.applicationId}")`
  return new StateDirectoryError(
    `The state directory ${directory} is in use by ${who}. Stop that one, or give this runtime a \`stateDir\` of its own: two cannot share one.`,
    {
      code: 'ERR_STATE_LOCKED',
      cause,
      details: { directory, pid: holder?.pid, host: holder?.host, taskId: holder?.taskId }
    }
  )
}
