/** Java programs of ours as child processes: Kafka's jars by Maven and the program compiled once, then a question and an answer a line. */
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { cacheDir, KAFKA_VERSION } from '../../lib/testing/kafka/jars.ts'
import type { Actual } from '../conformance/compare.ts'
import type { Case } from '../conformance/format.ts'

const run = promisify(execFile)
const CASES = fileURLToPath(new URL('./CaseRunner.java', import.meta.url))

const POM = `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId><artifactId>interop</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    <dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-streams-test-utils</artifactId><version>${KAFKA_VERSION}</version></dependency>
    <dependency><groupId>org.slf4j</groupId><artifactId>slf4j-nop</artifactId><version>1.7.36</version></dependency>
  </dependencies>
</project>
`

/** What Kafka Streams gave for a case. */
export interface JvmOutcome {
  readonly steps: Omit<Actual, 'topic'>[][]
  /** Dropped records of any reason. */
  readonly dropped?: number
  readonly error?: string
}

export interface Jvm {
  run(c: Pick<Case, 'topology' | 'inputs' | 'advance'>): Promise<JvmOutcome>
  close(): Promise<void>
}

/** Starts Kafka Streams' own test driver: see `startJava`. */
export async function startJvm(log: (line: string) => void): Promise<Jvm> {
  const java = await startJava(CASES, log)
  return {
    run: ({ topology, inputs, advance }) => java.ask({ topology, inputs, ...(advance ? { advance } : {}) }),
    close: () => java.close()
  }
}

/**
 * Starts a Java program with the jars of Kafka Streams. The first call on a machine fetches them (half a minute) and compiles.
 * @param source a file whose main class is named like it
 * @throws Error that names what is missing: Java 17, javac or Maven, and what it said
 */
export async function startJava(source: string, log: (line: string) => void): Promise<JavaProcess> {
  const cache = join(cacheDir(), 'interop')
  await mkdir(cache, { recursive: true })
  const classPath = await jars(cache, log)
  const classes = await compiled(source, cache, classPath, log)
  return new JavaProcess(tool('java'), [classes, ...classPath].join(':'), basename(source, '.java'))
}

const tool = (name: string): string => (process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin', name) : name)

async function jars(cache: string, log: (line: string) => void): Promise<string[]> {
  const kept = join(cache, 'classpath')
  const known = await readFile(kept, 'utf8').catch(() => undefined)
  const paths = known?.split('\n')
  if (paths?.every((jar) => existsSync(jar))) return paths
  log(`fetching the jars of Kafka Streams ${KAFKA_VERSION} with Maven (once on this machine) …`)
  const folder = await mkdtemp(join(cache, 'maven-'))
  try {
    const pom = join(folder, 'pom.xml')
    const output = join(folder, 'classpath')
    await writeFile(pom, POM)
    const goal = ['dependency:build-classpath', `-Dmdep.outputFile=${output}`, '-Dmdep.pathSeparator=\n']
    await said('Maven (mvn)', run('mvn', ['-B', '-q', '-f', pom, ...goal], { maxBuffer: 16 * 1024 * 1024 }))
    const found = (await readFile(output, 'utf8')).trim()
    await writeFile(output, found)
    await rename(output, kept)
    return found.split('\n')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function compiled(
  source: string,
  cache: string,
  classPath: string[],
  log: (line: string) => void
): Promise<string> {
  const hash = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
  const classes = join(cache, `classes-${hash.slice(0, 16)}`)
  if (existsSync(classes)) return classes
  log(`compiling ${basename(source)} …`)
  const folder = await mkdtemp(join(cache, 'javac-'))
  await said(
    'A JDK of 17 or newer (javac)',
    run(tool('javac'), ['-nowarn', '-cp', classPath.join(':'), '-d', folder, source])
  )
  // Another process may have been quicker: its classes are as good.
  await rename(folder, classes).catch(() => rm(folder, { recursive: true, force: true }))
  return classes
}

async function said<T>(needed: string, running: Promise<T>): Promise<T> {
  try {
    return await running
  } catch (cause) {
    const { code, stdout, stderr } = cause as { code?: unknown; stdout?: string; stderr?: string }
    const text =
      code === 'ENOENT' ? 'there is no such command on the PATH' : `${stdout ?? ''}${stderr ?? ''}`.slice(0, 2_000)
    throw new Error(`${needed} is needed to compare with Kafka Streams: ${text || cause}`, { cause })
  }
}

/** Answers come in the order of the questions. */
export class JavaProcess {
  readonly #child: ChildProcess
  readonly #waiting: { resolve(answer: never): void; reject(error: Error): void }[] = []
  #errors = ''
  #ended: Error | undefined

  constructor(java: string, classPath: string, main: string) {
    const options = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Xmx512m']
    this.#child = spawn(java, [...options, '-cp', classPath, main], { stdio: ['pipe', 'pipe', 'pipe'] })
    this.#child.stderr!.on('data', (data) => {
      this.#errors = (this.#errors + data).slice(-4_000)
    })
    createInterface({ input: this.#child.stdout! }).on('line', (line) => {
      const waiting = this.#waiting.shift()
      try {
        waiting?.resolve(JSON.parse(line) as never)
      } catch (error) {
        waiting?.reject(new Error(`The JVM printed no JSON: ${line.slice(0, 500)}`, { cause: error }))
      }
    })
    const end = (why: string): void => {
      this.#ended = new Error(`The JVM ended: ${why} ${this.#errors}`)
      for (const { reject } of this.#waiting.splice(0)) reject(this.#ended)
    }
    this.#child.on('error', (error) => end(error.message))
    this.#child.on('exit', (code, signal) => end(`${signal ?? `status ${code}`}.`))
    this.#child.stdin!.on('error', () => {}) // told by 'exit'
  }

  /** @throws Error with what the JVM said last, when it ends before it has answered */
  ask<T>(question: object): Promise<T> {
    if (this.#ended) return Promise.reject(this.#ended)
    return new Promise<T>((resolve, reject) => {
      this.#waiting.push({ resolve, reject })
      this.#child.stdin!.write(`${JSON.stringify(question)}\n`)
    })
  }

  close(): Promise<void> {
    if (this.#ended) return Promise.resolve()
    return new Promise((resolve) => {
      this.#child.once('exit', () => resolve())
      this.#child.stdin!.end()
    })
  }
}
