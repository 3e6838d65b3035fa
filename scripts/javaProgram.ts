/** Java programs of ours beside Kafka's own jars: Maven fetches them once on a machine, javac compiles on first use. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { cacheDir, KAFKA_VERSION } from '../lib/testing/kafka/jars.ts'

const run = promisify(execFile)

export interface JavaProgram {
  /** Path or name of the java command. */
  readonly java: string
  readonly classPath: string
}

export interface JavaProgramOptions {
  /** Of its folder in the cache. */
  readonly name: string
  /** What it is for: ends the sentence "… is needed to …". */
  readonly purpose: string
  /** Artifacts of org.apache.kafka, in Kafka's version. */
  readonly artifacts: readonly string[]
  readonly sources: readonly string[]
  readonly log: (line: string) => void
}

/** @throws Error that names what is missing: Java 17, javac or Maven, and what it said */
export async function javaProgram(options: JavaProgramOptions): Promise<JavaProgram> {
  const cache = join(cacheDir(), options.name)
  await mkdir(cache, { recursive: true })
  const jars = await fetched(cache, options)
  return { java: tool('java'), classPath: [await compiled(cache, jars, options), ...jars].join(':') }
}

const tool = (name: string): string => (process.env.JAVA_HOME ? join(process.env.JAVA_HOME, 'bin', name) : name)

async function fetched(cache: string, options: JavaProgramOptions): Promise<string[]> {
  const kept = join(cache, 'classpath')
  const known = await readFile(kept, 'utf8').catch(() => undefined)
  const paths = known?.split('\n')
  if (paths?.every((jar) => existsSync(jar))) return paths
  options.log(`fetching ${options.artifacts.join(', ')} ${KAFKA_VERSION} with Maven (once on this machine) …`)
  const folder = await mkdtemp(join(cache, 'maven-'))
  try {
    const pom = join(folder, 'pom.xml')
    const output = join(folder, 'classpath')
    await writeFile(pom, pomOf(options))
    const goal = ['dependency:build-classpath', `-Dmdep.outputFile=${output}`, '-Dmdep.pathSeparator=\n']
    const maven = run('mvn', ['-B', '-q', '-f', pom, ...goal], { maxBuffer: 16 * 1024 * 1024 })
    await said('Maven (mvn)', options.purpose, maven)
    const found = (await readFile(output, 'utf8')).trim()
    await writeFile(output, found)
    await rename(output, kept)
    return found.split('\n')
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

async function compiled(cache: string, jars: string[], { sources, log, name, purpose }: JavaProgramOptions) {
  const hash = createHash('sha256')
  for (const source of sources) hash.update(await readFile(source))
  const classes = join(cache, `classes-${hash.digest('hex').slice(0, 16)}`)
  if (existsSync(classes)) return classes
  log(`compiling ${name} …`)
  const folder = await mkdtemp(join(cache, 'javac-'))
  const javac = run(tool('javac'), ['-nowarn', '-cp', jars.join(':'), '-d', folder, ...sources])
  await said('A JDK of 17 or newer (javac)', purpose, javac)
  // Another process may have been quicker: its classes are as good.
  await rename(folder, classes).catch(() => rm(folder, { recursive: true, force: true }))
  return classes
}

const dependency = (group: string, artifact: string, version: string): string =>
  `<dependency><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></dependency>`

const pomOf = ({ name, artifacts }: JavaProgramOptions): string => `<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>millrace</groupId><artifactId>${name}</artifactId><version>1</version><packaging>pom</packaging>
  <dependencies>
    ${artifacts.map((artifact) => dependency('org.apache.kafka', artifact, KAFKA_VERSION)).join('\n    ')}
    ${dependency('org.slf4j', 'slf4j-nop', '1.7.36')}
  </dependencies>
</project>
`

async function said<T>(needed: string, purpose: string, running: Promise<T>): Promise<T> {
  try {
    return await running
  } catch (cause) {
    const { code, stdout, stderr } = cause as { code?: unknown; stdout?: string; stderr?: string }
    const text =
      code === 'ENOENT' ? 'there is no such command on the PATH' : `${stdout ?? ''}${stderr ?? ''}`.slice(0, 2_000)
    throw new Error(`${needed} is needed to ${purpose}: ${text || cause}`, { cause })
  }
}
