/** The server.properties of one node of a test cluster (KRaft, combined mode), the same for every way to start it. */
import { randomUUID } from 'node:crypto'

/** Where one node listens and how the others and the clients reach it. */
export interface NodeAddress {
  /** Bound by the client listener, `host:port`. */
  clientBind: string
  /** What clients are told. */
  client: string
  /** Bound by the listener among brokers; undefined = brokers use the client listener. */
  peerBind?: string
  peer?: string
  controllerBind: string
  controller: string
  dataDir: string
}

export const CLUSTER_ID = 'bWlsbHJhY2UtdGVzdC0tLQ'

/** Quorums want an odd number of voters: with two brokers only the first one is a controller, too. */
export const voterCount = (brokers: number): number => Math.min(3, brokers % 2 === 0 ? brokers - 1 : brokers)

/** server.properties of node `id` (from 1) as text; `overrides` win. */
export function serverProperties(id: number, nodes: readonly NodeAddress[], overrides: Record<string, string>): string {
  const settings = { ...listeners(id, nodes), ...defaults(nodes.length), ...retention(overrides), ...overrides }
  return Object.entries(settings)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('')
}

function listeners(id: number, nodes: readonly NodeAddress[]): Record<string, string> {
  const own = nodes[id - 1]!
  const voters = nodes.slice(0, voterCount(nodes.length))
  const isVoter = id <= voters.length
  const peer = own.peer !== undefined
  const bound = [`PLAINTEXT://${own.clientBind}`]
  if (peer) bound.push(`PEER://${own.peerBind}`)
  if (isVoter) bound.push(`CONTROLLER://${own.controllerBind}`)
  return {
    'node.id': String(id),
    'process.roles': isVoter ? 'broker,controller' : 'broker',
    'controller.quorum.voters': voters.map((node, i) => `${i + 1}@${node.controller}`).join(','),
    'controller.listener.names': 'CONTROLLER',
    listeners: bound.join(','),
    'advertised.listeners': `PLAINTEXT://${own.client}${peer ? `,PEER://${own.peer}` : ''}`,
    'listener.security.protocol.map': 'PLAINTEXT:PLAINTEXT,PEER:PLAINTEXT,CONTROLLER:PLAINTEXT',
    'inter.broker.listener.name': peer ? 'PEER' : 'PLAINTEXT',
    'log.dirs': own.dataDir
  }
}

/** Chosen for quick starts and quick group joins, small memory, and mistakes that show. */
function defaults(brokers: number): Record<string, string> {
  const replicas = String(Math.min(3, brokers))
  const inSync = String(brokers > 2 ? 2 : 1)
  return {
    // With peers around, a dead broker is to be missed soon (default 9 s); a lone one has nobody to go to.
    ...(brokers > 1 && { 'broker.session.timeout.ms': '4000', 'broker.heartbeat.interval.ms': '1000' }),
    'auto.create.topics.enable': 'false', // a misspelt topic fails instead of being born empty
    'group.initial.rebalance.delay.ms': '0',
    'group.min.session.timeout.ms': '1000',
    'offsets.topic.num.partitions': '4',
    'offsets.topic.replication.factor': replicas,
    'transaction.state.log.num.partitions': '4',
    'transaction.state.log.replication.factor': replicas,
    'transaction.state.log.min.isr': inSync,
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
    'share.coordinator.state.topic.num.partitions': '4',
    'share.coordinator.state.topic.replication.factor': replicas,
    'share.coordinator.state.topic.min.isr': inSync,
    'log.cleaner.dedupe.buffer.size': String(16 * 1024 * 1024), // allocated at start; the default takes 128 MiB
    'num.network.threads': '2',
    'num.io.threads': '4'
  }
}

/**
 * Specs and demos write records of 1970 and 2001, which a broker deletes by age at its first check, 30 s after its start: a spec that
 * runs at that moment loses them. So nothing is deleted by age, unless quick checks are asked for; then the first comes as quickly.
 */
function retention(overrides: Record<string, string>): Record<string, string> {
  const every = overrides['log.retention.check.interval.ms']
  return every === undefined ? { 'log.retention.ms': '-1' } : { 'log.initial.task.delay.ms': every }
}

/** A node's meta.properties, as the storage tool would write it; `directoryId` is a base64url UUID. */
export const metaProperties = (id: number, directoryId: string): string =>
  `version=1\ncluster.id=${CLUSTER_ID}\nnode.id=${id}\ndirectory.id=${directoryId}\n`

/** Kafka's own form of a folder's name: the 16 bytes of a random UUID in base64url, not beginning with a dash. */
export function directoryId(): string {
  for (;;) {
    const id = Buffer.from(randomUUID().replaceAll('-', ''), 'hex').toString('base64url')
    if (!id.startsWith('-')) return id
  }
}
