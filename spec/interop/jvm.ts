/** Java programs of ours as child processes: Kafka's jars by Maven and the program compiled once, then a question and an answer a line. */
import { type ChildProcess, spawn } from 'node:child_process'
import { basename } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { javaProgram } from '../../scripts/javaProgram.ts'
import type { Actual } from '../conformance/compare.ts'
import type { Case } from '../conformance/format.ts'

const CASES = fileURLToPath(new URL('./CaseRunner.java', import.meta.url))

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
  const { java, classPath } = await javaProgram({
    name: 'interop',
    purpose: 'compare with Kafka Streams',
    artifacts: ['kafka-streams-test-utils'],
    sources: [source],
    log
  })
  return new JavaProcess(java, classPath, basename(source, '.java'))
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
