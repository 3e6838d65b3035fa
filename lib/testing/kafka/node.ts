/** One broker of ours under its watchdog, whichever way it runs, and the group of them. */
import { ProvisionError } from '../../errors.ts'
import { clusterReady } from './ready.ts'
import type { KafkaNode } from './types.ts'
import type { Watchdog } from './watchdog.ts'

export class BrokerNode implements KafkaNode {
  readonly id: number
  readonly address: string
  readonly dataDir: string | undefined
  readonly watchdog: Watchdog
  readonly lastLines: string[] = [] // for the error when it ends too early
  #siblings: readonly BrokerNode[]
  #log: (line: string) => void

  /** `makeWatchdog` gets the function that takes the broker's lines. */
  constructor(
    id: number,
    address: string,
    siblings: readonly BrokerNode[],
    log: (line: string) => void,
    makeWatchdog: (onLine: (line: string) => void) => Watchdog,
    dataDir?: string
  ) {
    this.id = id
    this.address = address
    this.dataDir = dataDir
    this.#siblings = siblings
    this.#log = log
    this.watchdog = makeWatchdog((line) => this.#heard(line))
  }

  get alive(): boolean {
    return this.watchdog.pid !== undefined
  }

  /** Rejects when the broker ends; never resolves. */
  async ended(): Promise<never> {
    const code = await this.watchdog.exited
    const said = this.lastLines.filter((line) => !/^\s+at /.test(line)).slice(-8)
    throw new ProvisionError(
      `Kafka broker ${this.id} ended with code ${code} before it served. It said:\n${said.join('\n')}`
    )
  }

  kill(): Promise<void> {
    return this.watchdog.end('KILL')
  }

  pause(): Promise<void> {
    return this.watchdog.signal('STOP')
  }

  resume(): Promise<void> {
    return this.watchdog.signal('CONT')
  }

  async restart(): Promise<void> {
    await this.kill()
    await this.watchdog.start()
    const alive = this.#siblings.filter((node) => node.alive)
    await clusterReady([this], alive.length, { gone: this.ended() })
  }

  #heard(line: string): void {
    this.lastLines.push(line)
    if (this.lastLines.length > 40) this.lastLines.shift()
    this.#log(`[broker ${this.id}] ${line}`)
  }
}

/** Starts all nodes and waits until each serves and knows the others. */
export async function startAll(nodes: readonly BrokerNode[], signal?: AbortSignal): Promise<void> {
  await Promise.all(nodes.map((node) => node.watchdog.start()))
  const gone = Promise.race(nodes.map((node) => node.ended()))
  await clusterReady(nodes, nodes.length, { gone, signal })
}

export const portTaken = (nodes: readonly BrokerNode[]): boolean =>
  nodes.some((node) => node.lastLines.some((line) => line.includes('Address already in use')))
