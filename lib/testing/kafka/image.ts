/** The image to run Kafka from: the official one, else one made of this machine's own Java and Kafka's jars. */
import { execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { realpath } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { ProvisionError } from '../../errors.ts'
import { systemClock } from '../../time.ts'
import type { Engine } from './engine.ts'
import { KAFKA_VERSION, type KafkaJars } from './jars.ts'
import { trainedJars } from './java.ts'
import { CLUSTER_ID } from './settings.ts'

const OFFICIAL = `apache/kafka:${KAFKA_VERSION}`
const OWN = 'millrace-kafka'
const SILENCE_MS = 20_000
const run = promisify(execFile)

export interface KafkaImage {
  name: string
  /** For the line that tells how the broker was got. */
  about: string
  /** The command that runs a broker with the settings file given, formatting its data folder first where needed. */
  command(properties: string, jvm: readonly string[]): string[]
  /** What the data folder is to hold already; undefined when the command formats it. */
  bootstrap?: Buffer
}

interface Wishes {
  log: (line: string) => void
  signal?: AbortSignal | undefined
}

/**
 * The official image if the engine has it or can pull it; else one built here (once, some seconds).
 * @throws ProvisionError when it can be neither pulled nor built.
 */
export async function kafkaImage(engine: Engine, wishes: Wishes): Promise<KafkaImage> {
  if (await has(engine, OFFICIAL)) return official()
  // Where one was built before, the registry was out of reach: asking again would cost each start its time-out.
  const built = await engine.listImages({ filters: JSON.stringify({ reference: [`${OWN}:${KAFKA_VERSION}-*`] }) })
  if (built.length > 0) return ownImage(engine, wishes)
  const unreachable = await pull(engine, OFFICIAL, wishes.signal)
  if (unreachable === undefined) return official()
  wishes.log(
    `${OFFICIAL} cannot be pulled (${unreachable}): using an image made of this machine's Java and Kafka's jars`
  )
  return ownImage(engine, wishes)
}

const has = (engine: Engine, name: string): Promise<boolean> =>
  engine
    .getImage(name)
    .inspect()
    .then(
      () => true,
      () => false
    )

/** Resolves with the reason when it does not work; a pull that stands still for 20 s counts as that. */
async function pull(engine: Engine, name: string, signal?: AbortSignal): Promise<string | undefined> {
  const still = new AbortController()
  let timer: unknown
  const moved = (): void => {
    systemClock.clearTimeout(timer)
    timer = systemClock.setTimeout(() => still.abort(), SILENCE_MS)
  }
  moved()
  try {
    const abortSignal = signal ? AbortSignal.any([signal, still.signal]) : still.signal
    const stream = await engine.pull(name, { abortSignal })
    await finished(engine, stream, moved)
    return undefined
  } catch (error) {
    signal?.throwIfAborted()
    return still.signal.aborted ? `nothing moved for ${SILENCE_MS / 1000} s` : (error as Error).message.trim()
  } finally {
    systemClock.clearTimeout(timer)
  }
}

const finished = (engine: Engine, stream: NodeJS.ReadableStream, onProgress?: () => void): Promise<void> =>
  new Promise((resolve, reject) =>
    engine.modem.followProgress(stream, (error: Error | null) => (error ? reject(error) : resolve()), onProgress)
  )

function official(): KafkaImage {
  return {
    name: OFFICIAL,
    about: `image ${OFFICIAL}`,
    command(properties, jvm) {
      const java = ['java', '-cp', '/opt/kafka/libs/*']
      const format = [
        ...java,
        'kafka.tools.StorageTool',
        'format',
        '--ignore-formatted',
        '-t',
        CLUSTER_ID,
        '-c',
        properties
      ]
      const serve = [...java.slice(0, 1), ...jvm, ...java.slice(1), 'kafka.Kafka', properties]
      return ['sh', '-c', `${quote(format)} >/dev/null && exec ${quote(serve)}`]
    }
  }
}

const quote = (words: readonly string[]): string => words.map((word) => `'${word}'`).join(' ')

/**
 * Without a registry there is no base image to build on. So the image is a file tree imported as it is: this machine's
 * Java, the libraries it links to, a shell, and Kafka's jars, all at the paths they have here. (The paths and times must be
 * the same for the archive of parsed classes to be accepted: it binds itself to both.)
 */
async function ownImage(engine: Engine, wishes: Wishes): Promise<KafkaImage> {
  if (process.platform !== 'linux')
    throw new ProvisionError(`${OFFICIAL} cannot be pulled, and an own image needs a Linux machine`)
  const jars = await trainedJars(wishes.log, wishes.signal)
  const home = await javaHome(jars.java, wishes.signal)
  const files = [
    ...(await libraries(home)),
    '/bin/sh',
    ...jars.classPath,
    ...(existsSync(jars.archive) ? [jars.archive] : [])
  ]
  const mark = createHash('sha256')
    .update(JSON.stringify([home, jars.javaVersion, files]))
    .digest('hex')
    .slice(0, 12)
  const name = `${OWN}:${KAFKA_VERSION}-${mark}`
  if (!(await has(engine, name))) {
    wishes.log(`building the image ${name} (once on this machine) …`)
    await importTree(engine, name, home, files)
  }
  return {
    name,
    about: `image of this machine's Java ${jars.javaVersion}`,
    bootstrap: jars.bootstrap,
    command: (properties, jvm) => ownCommand(jars, home, properties, jvm)
  }
}

function ownCommand(jars: KafkaJars, home: string, properties: string, jvm: readonly string[]): string[] {
  const archive = [`-XX:SharedArchiveFile=${jars.archive}`, '-Xlog:disable']
  return [join(home, 'bin', 'java'), ...jvm, ...archive, '-cp', jars.classPath.join(':'), 'kafka.Kafka', properties]
}

async function javaHome(java: string, signal?: AbortSignal): Promise<string> {
  const { stderr } = await run(java, ['-XshowSettings:properties', '-version'], { signal })
  return realpath(/java\.home = (.+)/.exec(stderr)![1]!.trim())
}

/** Older parts of the C library: what jars bring along (zstd, snappy, lz4) was linked to them. */
const BESIDE_LIBC = ['libpthread.so.0', 'libdl.so.2', 'librt.so.1', 'libm.so.6']

/** The loader and the shared libraries that Java's server VM and the shell link to. */
async function libraries(home: string): Promise<string[]> {
  const parts = ['libjava', 'libnet', 'libnio', 'libzip', 'libmanagement', 'libmanagement_ext', 'server/libjvm']
  const linked = [join(home, 'bin', 'java'), '/bin/sh', ...parts.map((part) => join(home, 'lib', `${part}.so`))]
  const { stdout } = await run(
    'ldd',
    linked.filter((path) => existsSync(path))
  )
  const found = [...stdout.matchAll(/(?:=> |^\t)(\/\S+)/gm)].map((match) => match[1]!)
  const libc = found.find((path) => path.endsWith('/libc.so.6'))
  const beside =
    libc === undefined ? [] : BESIDE_LIBC.map((name) => join(dirname(libc), name)).filter((path) => existsSync(path))
  return [...new Set([...found, ...beside])].filter((path) => !path.startsWith(home)).sort()
}

async function importTree(engine: Engine, name: string, home: string, files: string[]): Promise<void> {
  const without = ['jmods', 'src.zip', 'man', 'docs', 'legal', 'include', 'demo'].map(
    (part) => `--exclude=${join(home, part).slice(1)}`
  )
  const relative = (path: string): string => path.slice(1)
  // -h: links become what they point to, so that a tree full of links (Debian's) needs nothing else of the system.
  const args = [
    '-C',
    '/',
    '-ch',
    '--ignore-failed-read',
    ...without,
    '--exclude=*/ct.sym',
    '--exclude=*/src.zip',
    ...files.map(relative),
    relative(home)
  ]
  const tar = spawn('tar', [...args, '--no-recursion', 'tmp'], { stdio: ['ignore', 'pipe', 'ignore'] })
  const [repo, tag] = name.split(':')
  await finished(engine, await engine.importImage(tar.stdout, { repo, tag, changes: 'ENV PATH=/bin' }))
}
