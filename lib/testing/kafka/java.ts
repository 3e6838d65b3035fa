/** Apache Kafka as JVMs of this machine: KRaft, combined mode, one or several nodes, data in a temporary folder. */

import { randomUUID } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ProvisionError } from '../../errors.ts'
import { KAFKA_VERSION, type KafkaJars, kafkaJars } from './jars.ts'
import { freePorts } from './ports.ts'
import { clusterReady } from './ready.ts'
import { metaProperties, type NodeAddress, serverProperties } from './settings.ts'
import type { KafkaHandle, KafkaNode, KafkaOptions } from './types.ts'
import { type Guarded, spawnGuarded } from './watchdog.ts'

const QUICK = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
const STEADY = ['-Xmx1g', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20']
const HOST = '127.0.0.1'

/**
 * Starts brokers by Java.
 * @throws ProvisionError when Java or Maven is missing, or the broker ends before it serves (its last lines are quoted).
 */
export async function startByJava(options: KafkaOptions): Promise<Omit<KafkaHandle, 'how'> & { version: string }> {
  const log = options.log ?? (() => {})
  const jars = await kafkaJars(log, options.signal)
  if (!existsSync(jars.archive)) await trainArchive(jars, log, options.signal)
  const jvm = [...(options.jvm === 'steady' ? STEADY : QUICK), `-XX:SharedArchiveFile=${jars.archive}`, '-Xlog:disable']
  const cluster = await startCluster(jars, jvm, options)
  return {
    version: `${KAFKA_VERSION} on Java ${jars.javaVersion}`,
    way: 'java',
    brokers: cluster.nodes.map((node) => node.address),
    nodes: cluster.nodes,
    stop: () => cluster.stop(),
    [Symbol.asyncDispose]: () => cluster.stop()
  }
}

/** Once on a machine: runs a broker until it serves and lets the JVM write down the classes it parsed. */
async function trainArchive(jars: KafkaJars, log: (line: string) => void, signal?: AbortSignal): Promise<void> {
  log('preparing quick starts (once on this machine) …')
  const fresh = `${jars.archive}.${process.pid}`
  const options = { log, ...(signal && { signal }) }
  const cluster = await startCluster(jars, [...QUICK, `-XX:ArchiveClassesAtExit=${fresh}`, '-Xlog:disable'], options)
  await cluster.nodes[0]!.end('SIGTERM') // the archive is written on an orderly end only
  await cluster.stop()
  await rename(fresh, jars.archive).catch(() => log('no class archive was written: starts stay a second slower'))
}

interface Cluster {
  nodes: JavaNode[]
  stop(): Promise<void>
}

async function startCluster(jars: KafkaJars, jvm: string[], options: KafkaOptions): Promise<Cluster> {
  // A port found free can be taken by another process before the broker binds it: then once more with other ports.
  for (let tries = 1; ; tries++) {
    const cluster = await layOut(jars, jvm, options)
    try {
      await Promise.all(cluster.nodes.map((node) => node.start()))
      const gone = Promise.race(cluster.nodes.map((node) => node.ended()))
      await clusterReady(cluster.nodes, cluster.nodes.length, { gone, signal: options.signal })
      return cluster
    } catch (error) {
      await cluster.stop()
      options.signal?.throwIfAborted()
      const taken = cluster.nodes.some((node) => node.lastLines.some((line) => line.includes('Address already in use')))
      if (!taken || options.ports || tries === 3) throw error
    }
  }
}

async function layOut(jars: KafkaJars, jvm: string[], options: KafkaOptions): Promise<Cluster> {
  const count = options.brokers ?? 1
  const log = options.log ?? (() => {})
  const folder = await mkdtemp(join(tmpdir(), 'millrace-kafka-'))
  const ports = await freePorts(2 * count)
  const addresses = Array.from({ length: count }, (_, i): NodeAddress => {
    const client = `${HOST}:${options.ports?.[i] ?? ports[2 * i]!}`
    const controller = `${HOST}:${ports[2 * i + 1]!}`
    return {
      clientBind: client,
      client,
      controllerBind: controller,
      controller,
      dataDir: join(folder, `node-${i + 1}`)
    }
  })
  const nodes: JavaNode[] = []
  for (const [i, { dataDir, client }] of addresses.entries()) {
    await mkdir(dataDir)
    await writeFile(join(dataDir, 'meta.properties'), metaProperties(i + 1, directoryId()))
    await writeFile(join(dataDir, 'bootstrap.checkpoint'), jars.bootstrap)
    const properties = join(folder, `node-${i + 1}.properties`)
    await writeFile(properties, serverProperties(i + 1, addresses, options.config ?? {}))
    const args = [...jvm, ...LOGGING, '-cp', jars.classPath.join(':'), 'kafka.Kafka', properties]
    nodes.push(new JavaNode(i + 1, client, jars.java, args, folder, nodes, log))
  }
  let stopped: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.kill()))
    await rm(folder, { recursive: true, force: true })
  }
  return {
    nodes,
    stop() {
      stopped ??= stop()
      return stopped
    }
  }
}

const LOGGING = ['-Dorg.slf4j.simpleLogger.defaultLogLevel=warn', '-Dorg.slf4j.simpleLogger.showShortLogName=true']

/** Kafka's own form: the 16 bytes of a random UUID in base64url. It may not begin with a dash. */
function directoryId(): string {
  for (;;) {
    const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
    if (!id.startsWith('-')) return id
  }
}

class JavaNode implements KafkaNode {
  readonly id: number
  readonly address: string
  readonly lastLines: string[] = [] // for the error when it ends too early
  #process: Guarded | undefined // undefined before the start and after kill()
  #java: string
  #args: string[]
  #folder: string
  #siblings: readonly JavaNode[]
  #log: (line: string) => void

  constructor(
    id: number,
    address: string,
    java: string,
    args: string[],
    folder: string,
    siblings: readonly JavaNode[],
    log: (line: string) => void
  ) {
    this.id = id
    this.address = address
    this.#java = java
    this.#args = args
    this.#folder = folder
    this.#siblings = siblings
    this.#log = log
  }

  /** The JVM's process id while it runs. */
  get pid(): number | undefined {
    return this.#process?.pid
  }

  async start(): Promise<void> {
    this.#process = await spawnGuarded(this.#java, this.#args, {
      folder: this.#folder,
      onLine: (line) => {
        this.lastLines.push(line)
        if (this.lastLines.length > 40) this.lastLines.shift()
        this.#log(`[broker ${this.id}] ${line}`)
      }
    })
  }

  /** Rejects when the JVM ends; never resolves. */
  async ended(): Promise<never> {
    const code = await this.#process?.exited
    const lines = this.lastLines.filter((line) => !/^\s+at /.test(line)).slice(-8)
    throw new ProvisionError(
      `Kafka broker ${this.id} ended with code ${code} before it served. It said:\n${lines.join('\n')}`
    )
  }

  async end(signal: 'SIGKILL' | 'SIGTERM'): Promise<void> {
    const process = this.#process
    this.#process = undefined
    await process?.end(signal)
  }

  kill(): Promise<void> {
    return this.end('SIGKILL')
  }

  async pause(): Promise<void> {
    this.#process?.signal('SIGSTOP')
  }

  async resume(): Promise<void> {
    this.#process?.signal('SIGCONT')
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.start()
    const alive = this.#siblings.filter((node) => node.pid !== undefined)
    await clusterReady([this], alive.length, { gone: this.ended() })
  }
}
