/** Kafka in containers through testcontainers: no reaper needed, each container ends with the connection to us. */

import { once } from 'node:events'
import type { Socket } from 'node:net'
import { createInterface } from 'node:readline'
import { PassThrough } from 'node:stream'
import type { GenericContainer } from 'testcontainers'
import { type Engine, type EngineClient, findEngine, LABEL, sweep } from './engine.ts'
import { type KafkaImage, kafkaImage } from './image.ts'
import { KAFKA_VERSION } from './jars.ts'
import { LOGGING, QUICK, STEADY } from './java.ts'
import { BrokerNode, portTaken, startAll } from './node.ts'
import { freePorts } from './ports.ts'
import { directoryId, metaProperties, type NodeAddress, serverProperties } from './settings.ts'
import type { KafkaHandle, KafkaOptions } from './types.ts'
import { WATCHDOG, Watchdog, type WatchdogLine } from './watchdog.ts'

const FOLDER = '/tmp/kafka'
const CLIENT_PORT = 9092

/**
 * Starts brokers in containers.
 * @throws ProvisionError when no engine answers, there is no image, or a broker ends before it serves.
 */
export async function startByDocker(options: KafkaOptions): Promise<Omit<KafkaHandle, 'how'> & { version: string }> {
  const client = await findEngine()
  await sweep(client.engine)
  const image = await kafkaImage(client.engine, { log: options.log ?? (() => {}), signal: options.signal })
  for (let tries = 1; ; tries++) {
    const cluster = new Containers(client, image, options)
    try {
      await cluster.start()
      return {
        version: `${KAFKA_VERSION} (${client.version}, ${image.about})`,
        way: 'docker',
        brokers: cluster.nodes.map((node) => node.address),
        nodes: cluster.nodes,
        stop: () => cluster.stop(),
        [Symbol.asyncDispose]: () => cluster.stop()
      }
    } catch (error) {
      await cluster.stop()
      options.signal?.throwIfAborted()
      const taken = portTaken(cluster.nodes) || /already (in use|allocated)/i.test((error as Error).message)
      if (!taken || options.ports || tries === 3) throw error
    }
  }
}

class Containers {
  readonly nodes: BrokerNode[] = []
  #client: EngineClient
  #image: KafkaImage
  #options: KafkaOptions
  #network: Awaited<ReturnType<Engine['createNetwork']>> | undefined
  #stopped: Promise<void> | undefined

  constructor(client: EngineClient, image: KafkaImage, options: KafkaOptions) {
    this.#client = client
    this.#image = image
    this.#options = options
  }

  async start(): Promise<void> {
    const { engine, host } = this.#client
    const count = this.#options.brokers ?? 1
    const ports = this.#options.ports ?? (await freePorts(count))
    const mark = directoryId()
    const name = (i: number): string => `broker-${i + 1}`
    if (count > 1) {
      this.#network = await engine.createNetwork({ Name: `millrace-${mark}`, Labels: { [LABEL]: mark } })
    }
    const addresses = Array.from({ length: count }, (_, i): NodeAddress => {
      const self = count > 1 ? name(i) : '127.0.0.1'
      return {
        clientBind: `0.0.0.0:${CLIENT_PORT}`,
        client: `${host}:${ports[i]}`,
        peerBind: `0.0.0.0:9094`,
        peer: `${self}:9094`,
        controllerBind: `0.0.0.0:9093`,
        controller: `${self}:9093`,
        dataDir: `${FOLDER}/data`
      }
    })
    const log = this.#options.log ?? (() => {})
    const made = await Promise.allSettled(
      addresses.map(async ({ client }, i) => {
        const watchdog = await this.#container(i, name(i), addresses, ports[i]!, mark)
        return new BrokerNode(i + 1, client, this.nodes, log, watchdog)
      })
    )
    // First note all that run, so that stop() ends them; then complain about one that does not.
    for (const result of made) if (result.status === 'fulfilled') this.nodes.push(result.value)
    for (const result of made) if (result.status === 'rejected') throw result.reason
    await startAll(this.nodes, this.#options.signal)
  }

  stop(): Promise<void> {
    this.#stopped ??= (async () => {
      await Promise.all(this.nodes.map((node) => node.watchdog.close()))
      await this.#network?.remove().catch(() => {}) // else a later sweep takes it
    })()
    return this.#stopped
  }

  /** Creates and starts one container whose shell waits for orders; gives what makes the watchdog over it. */
  async #container(
    i: number,
    name: string,
    addresses: readonly NodeAddress[],
    port: number,
    mark: string
  ): Promise<(onLine: (line: string) => void) => Watchdog> {
    const { engine, host } = this.#client
    const properties = `${FOLDER}/server.properties`
    const jvm = [...(this.#options.jvm === 'steady' ? STEADY : QUICK), ...LOGGING]
    const files = [{ target: properties, content: serverProperties(i + 1, addresses, this.#options.config ?? {}) }]
    if (this.#image.bootstrap) {
      files.push({ target: `${FOLDER}/data/meta.properties`, content: metaProperties(i + 1, directoryId()) })
    }
    const attached = await attachable(this.#image.name, engine, {
      '9092/tcp': [{ HostIp: host === '127.0.0.1' ? host : '', HostPort: String(port) }]
    })
    const container = attached.container
      .withUser('0')
      .withEntrypoint(['/bin/sh', '-c', WATCHDOG, 'watchdog', ''])
      .withCommand(this.#image.command(properties, jvm))
      .withLabels({ [LABEL]: mark })
      .withCopyContentToContainer([
        ...files,
        ...(this.#image.bootstrap
          ? [{ target: `${FOLDER}/data/bootstrap.checkpoint`, content: this.#image.bootstrap }]
          : [])
      ])
      .withExposedPorts(CLIENT_PORT)
      .withAutoCleanup(false) // no reaper container: ours end by themselves
      .withWaitStrategy(NO_WAIT)
      .withHostname(name)
    if (this.#network) container.withNetworkMode(this.#network.id).withNetworkAliases(name)
    await container.start().catch(async (error) => {
      await attached.discard()
      throw error
    })
    return attached.watchdog
  }
}

/** Our own readiness check follows, once the broker is ordered to start. */
const NO_WAIT = {
  waitUntilReady: async (): Promise<void> => {},
  withStartupTimeout: () => NO_WAIT,
  isStartupTimeoutSet: () => true,
  getStartupTimeout: () => 0
}

interface Attachable {
  container: GenericContainer
  /** After the start: the watchdog inside. */
  watchdog(onLine: (line: string) => void): Watchdog
  /** After a start that failed: removes what there is. */
  discard(): Promise<void>
}

/**
 * A container whose standard input is attached before it starts, once: when that connection ends, because we close it or
 * because our process is gone, the engine closes the input, the watchdog inside ends the broker, and the engine removes
 * the container. Nothing outside has to look after it.
 */
async function attachable(
  image: string,
  engine: Engine,
  bindings: Record<string, { HostIp: string; HostPort: string }[]>
): Promise<Attachable> {
  const { GenericContainer } = await import('testcontainers')
  let stream: Socket | undefined
  let id = ''
  class Attached extends GenericContainer {
    protected override async beforeContainerCreated(): Promise<void> {
      Object.assign(this.createOpts, { OpenStdin: true, StdinOnce: true, AttachStdin: true })
      Object.assign(this.hostConfig, { PortBindings: bindings, AutoRemove: true }) // by the engine, not by us
    }
    protected override async containerCreated(created: string): Promise<void> {
      id = created
      const options = { stream: true, stdin: true, stdout: true, stderr: true, hijack: true }
      stream = (await engine.getContainer(id).attach(options)) as unknown as Socket
    }
  }
  return {
    container: new Attached(image),
    async discard() {
      stream?.destroy()
      if (id)
        await engine
          .getContainer(id)
          .remove({ force: true, v: true })
          .catch(() => {}) // the engine was quicker
    },
    watchdog(onLine) {
      const socket = stream!
      const line: WatchdogLine = {
        send: (text) => socket.write(`${text}\n`),
        async close() {
          const removed = engine.getContainer(id).wait({ condition: 'removed' })
          socket.end()
          await removed.catch(() => {}) // gone before the question arrived
        },
        hold: (on) => void (on ? socket.ref() : socket.unref())
      }
      const watchdog = new Watchdog(line, onLine)
      const [out, err] = [new PassThrough(), new PassThrough()] // apart: a line is never cut by the other's
      engine.modem.demuxStream(socket, out, err)
      for (const input of [out, err]) createInterface({ input }).on('line', (text) => watchdog.heard(text))
      socket.on('error', () => {})
      void once(socket, 'close').then(() => watchdog.lost())
      line.hold(false)
      return watchdog
    }
  }
}
