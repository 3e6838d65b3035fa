/** A whole runtime on a real Kafka. */
import { kafkaTransport } from '../../../actors/index.ts'
import { type KafkaHandle, startKafka } from '../../../lib/testing/kafka.ts'
import type { Engine } from './engine.ts'
import { runCases } from './job.ts'

export function kafkaEngine(log: (line: string) => void): Engine {
  let kafka: KafkaHandle | undefined
  return {
    name: 'kafka',
    async run(cases) {
      kafka ??= await startKafka({ log })
      log(kafka.how)
      const transport = kafkaTransport({ brokers: kafka.brokers })
      try {
        return await runCases(cases, { transport, prefix: `case-${Date.now().toString(36)}`, log })
      } finally {
        await transport.close()
      }
    },
    async close() {
      await kafka?.stop()
    }
  }
}
