/** The demo's own topics. Event times lie in 2001: without `retention.ms=-1` a broker would delete each record on arrival. */
import type { Transport } from '../../lib/kafka/port.ts'

export const FLIGHTS = 'flights'
export const AIRPORTS = 'airports'
export const AIRPORT_DAYS = 'airport-days'
export const STATE_TOTALS = 'state-totals'
const PARTITIONS = 4

export async function createTopics(transport: Transport, name: (topic: string) => string): Promise<void> {
  const keep = { 'retention.ms': '-1' }
  await transport.admin.create([
    { topic: name(FLIGHTS), partitions: PARTITIONS, replication: -1, config: keep },
    { topic: name(AIRPORTS), partitions: PARTITIONS, replication: -1, config: { 'cleanup.policy': 'compact' } },
    { topic: name(AIRPORT_DAYS), partitions: PARTITIONS, replication: -1, config: keep },
    { topic: name(STATE_TOTALS), partitions: PARTITIONS, replication: -1, config: keep }
  ])
}
