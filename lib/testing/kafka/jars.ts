/** Finds Java, has Maven fetch Apache Kafka's own jars once, and keeps what makes later starts quick. */
import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { ProvisionError } from '../../errors.ts'
import { CLUSTER_ID, type NodeAddress, serverProperties } from './settings.ts'

export const KAFKA_VERSION = '4.3.1'
const JAVA_NEEDED = 17
const run = promisify(execFile)

export interface KafkaJars {
  /** Path or name of the java command. */
  java: string
  /** As it calls itself: `17.0.15`. */
  javaVersion: string
  classPath: string[]
  /** What the storage tool writes beside meta.properties: the cluster's first feature levels. The same for all nodes. */
  bootstrap: Buffer
  /** Where the archive of parsed classes is, or is to be put: it makes a start about one second shorter. */
  archive: string
}

/** Kept between projects and runs: `MILLRACE_CACHE`, else the user's cache folder. */
export function cacheDir(): string {
  const root = process.env.MILLRACE_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'millrace')
  return join(root, `kafka-${KAFKA_VERSION}`)
}

/**
 * Everything needed to start a broker by Java. The first call on a machine runs Maven (some seconds); later ones read
 * four small files.
 * @throws ProvisionError that names what is missing: Java, its version, Maven, or what Maven said.
 */
export async function kafkaJars(log: (line: string) => void, signal?: AbortSignal): Promise<KafkaJars> {
  const { java, version } = await findJava(signal)
  const cache = cacheDir()
  await mkdir(cache, { recursive: true })
  const classPath = (await knownClassPath(cache)) ?? (await askMaven(cache, log, signal))
  const bootstrap = (await read(join(cache, 'bootstrap.checkpoint'))) ?? (await format(java, classPath, cache, signal))
  return { java, javaVersion: version, classPath, bootstrap, archive: join(cache, `classes-java-${version}.jsa`) }
}

async function findJava(signal?: AbortSignal): Promise<{ java: string; version: string }> {
  const home = process.env.JAVA_HOME
  const seen: string[] = []
  for (const java of [...(home ? [join(home, 'bin', 'java')] : []), 'java']) {
    const output = await run(java, ['-version'], { signal }).catch(() => undefined)
    if (!output) continue
    const version = /version "([^"]+)"/.exec(output.stderr)?.[1] ?? 'unknown'
    if (Number.parseInt(version, 10) >= JAVA_NEEDED) return { java, version }
    seen.push(`${java} is version ${version}`)
  }
  const found = seen.length > 0 ? seen.join(', ') : 'there is no java command on the PATH or in JAVA_HOME'
  throw new ProvisionError(`Java ${JAVA_NEEDED} or newer is needed, but ${found}`)
}

/** The class path of an earlier run, unless somebody emptied Maven's repository since. */
async function knownClassPath(cache: string): Promise<string[] | undefined> {
  const classPath = (await read(join(cache, 'classpath')))?.toString().split('\n')
  return classPath?.every((jar) => existsSync(jar)) ? classPath : undefined
}

async function askMaven(cache: string, log: (line: string) => void, signal?: AbortSignal): Promise<string[]> {
  log(`fetching the jars of Apache Kafka ${KAFKA_VERSION} with Maven (once on this machine) …`)
  const folder = await mkdtemp(join(cache, 'maven-'))
  try {
    const output = join(folder, 'classpath')
    await writeFile(join(folder, 'pom.xml'), POM)
    await run(
      'mvn',
      [
        '-B',
        '-q',
        '-f',
        join(folder, 'pom.xml'),
        'dependency:build-classpath',
        `-Dmdep.outputFile=${output}`,
        SEPARATOR
      ],
      { signal, maxBuffer: 16 * 1024 * 1024 }
    )
    const classPath = (await readFile(output, 'utf8')).trim().split('\n')
    await writeFile(output, classPath.join('\n'))
    await rename(output, join(cache, 'classpath'))
    return classPath
  } catch (cause) {
    signal?.throwIfAborted()
    throw mavenFailed(cause)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const SEPARATOR = '-Dmdep.pathSeparator=\n'

// slf4j-simple: without any binding the broker would fail in silence.
const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId><artifactId>broker</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

function mavenFailed(cause: unknown): ProvisionError {
  const { code, stdout, stderr } = cause as { code?: unknown; stdout?: string; stderr?: string }
  if (code === 'ENOENT') {
    return new ProvisionError(
      'Maven is needed to fetch the jars of Apache Kafka, but there is no mvn command on the PATH',
      {
        cause
      }
    )
  }
  const said = `${stdout ?? ''}\n${stderr ?? ''}`.split('\n').filter((line) => line.includes('ERROR'))
  return new ProvisionError(`Maven could not fetch org.apache.kafka:kafka_2.13:${KAFKA_VERSION}: ${said[0] ?? cause}`, {
    cause
  })
}

/** Runs the storage tool once and keeps what it wrote; each node gets a copy instead of a JVM start of its own. */
async function format(java: string, classPath: string[], cache: string, signal?: AbortSignal): Promise<Buffer> {
  const folder = await mkdtemp(join(tmpdir(), 'millrace-format-'))
  try {
    const node: NodeAddress = {
      clientBind: '127.0.0.1:1',
      client: '127.0.0.1:1',
      controllerBind: '127.0.0.1:2',
      controller: '127.0.0.1:2',
      dataDir: join(folder, 'data')
    }
    const properties = join(folder, 'server.properties')
    await writeFile(properties, serverProperties(1, [node], {}))
    const tool = ['-XX:TieredStopAtLevel=1', '-cp', classPath.join(':'), 'kafka.tools.StorageTool']
    await run(java, [...tool, 'format', '-t', CLUSTER_ID, '-c', properties], { signal, maxBuffer: 16 * 1024 * 1024 })
    const written = await readFile(join(folder, 'data', 'bootstrap.checkpoint'))
    const kept = join(cache, 'bootstrap.checkpoint')
    await writeFile(`${kept}.${process.pid}`, written)
    await rename(`${kept}.${process.pid}`, kept)
    return written
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

const read = (path: string): Promise<Buffer | undefined> => readFile(path).catch(() => undefined)
