/** Apache Kafka as JVMs of this machine: KRaft, combined mode, one or several nodes, data in a temporary folder. */

import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KAFKA_VERSION, type KafkaJars, kafkaJars } from './jars.ts'
import { BrokerNode, portTaken, startAll } from './node.ts'
import { freePorts } from './ports.ts'
import { directoryId, metaProperties, type NodeAddress, serverProperties } from './settings.ts'
import type { KafkaHandle, KafkaOptions } from './types.ts'
import { localWatchdog } from './watchdog.ts'

export const QUICK = ['-Xmx512m', '-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1']
export const STEADY = ['-Xmx1g', '-XX:+UseG1GC', '-XX:MaxGCPauseMillis=20']
const HOST = '127.0.0.1'

/**
 * Starts brokers by Java.
 * @throws ProvisionError when Java or Maven is missing, or the broker ends before it serves (its last lines are quoted).
 */
export async function startByJava(options: KafkaOptions): Promise<Omit<KafkaHandle, 'how'> & { version: string }> {
  const log = options.log ?? (() => {})
  const jars = await trainedJars(log, options.signal)
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

/** The jars, with the archive of parsed classes that makes each start about a second shorter. */
export async function trainedJars(log: (line: string) => void, signal?: AbortSignal): Promise<KafkaJars> {
  const jars = await kafkaJars(log, signal)
  if (!existsSync(jars.archive)) await trainArchive(jars, log, signal)
  return jars
}

/** Once on a machine: runs a broker until it serves and lets the JVM write down the classes it parsed. */
async function trainArchive(jars: KafkaJars, log: (line: string) => void, signal?: AbortSignal): Promise<void> {
  log('preparing quick starts (once on this machine) …')
  const fresh = `${jars.archive}.${process.pid}`
  const options = { log, ...(signal && { signal }) }
  const cluster = await startCluster(jars, [...QUICK, `-XX:ArchiveClassesAtExit=${fresh}`, '-Xlog:disable'], options)
  await cluster.nodes[0]!.watchdog.end('TERM') // the archive is written on an orderly end only
  await cluster.stop()
  await rename(fresh, jars.archive).catch(() => log('no class archive was written: starts stay a second slower'))
}

interface Cluster {
  nodes: BrokerNode[]
  stop(): Promise<void>
}

async function startCluster(jars: KafkaJars, jvm: string[], options: KafkaOptions): Promise<Cluster> {
  // A port found free can be taken by another process before the broker binds it: then once more with other ports.
  for (let tries = 1; ; tries++) {
    const cluster = await layOut(jars, jvm, options)
    try {
      await startAll(cluster.nodes, options.signal)
      return cluster
    } catch (error) {
      await cluster.stop()
      options.signal?.throwIfAborted()
      if (!portTaken(cluster.nodes) || options.ports || tries === 3) throw error
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
  const nodes: BrokerNode[] = []
  for (const [i, { dataDir, client }] of addresses.entries()) {
    await mkdir(dataDir)
    await writeFile(join(dataDir, 'meta.properties'), metaProperties(i + 1, directoryId()))
    await writeFile(join(dataDir, 'bootstrap.checkpoint'), jars.bootstrap)
    const properties = join(folder, `node-${i + 1}.properties`)
    await writeFile(properties, serverProperties(i + 1, addresses, options.config ?? {}))
    const args = [...jvm, ...LOGGING, '-cp', jars.classPath.join(':'), 'kafka.Kafka', properties]
    nodes.push(
      new BrokerNode(i + 1, client, nodes, log, (onLine) => localWatchdog(jars.java, args, { folder, onLine }), dataDir)
    )
  }
  let stopped: Promise<void> | undefined
  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.watchdog.close()))
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

export const LOGGING = [
  '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
  '-Dorg.slf4j.simpleLogger.showShortLogName=true',
  // Our readiness check asks every broker for coordinators at once; all but one are told that the topic exists.
  '-Dorg.slf4j.simpleLogger.log.kafka.server.DefaultAutoTopicCreationManager=error'
]
