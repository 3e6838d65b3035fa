/** Kafka in containers. */
import { ProvisionError } from '../../errors.ts'
import type { KafkaHandle, KafkaOptions } from './types.ts'

export async function startByDocker(_options: KafkaOptions): Promise<Omit<KafkaHandle, 'how'> & { version: string }> {
  throw new ProvisionError('no Docker engine answers')
}
