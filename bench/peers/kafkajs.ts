/** The loop as one writes it with kafkajs: eachBatch, one sendBatch for what came, acks from all. */
import { Kafka, logLevel } from 'kafkajs'
import { began, job, stopped } from '../harness/child.ts'

const { brokers, group, inputs, output } = job()
const kafka = new Kafka({ brokers: [...brokers], logLevel: logLevel.ERROR })
const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: 500 })
const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 })
await Promise.all([consumer.connect(), producer.connect()])
await consumer.subscribe({ topics: [...inputs], fromBeginning: true })

// The group's rebalance is not what is measured: the clock starts with the first records.
await consumer.run({
  partitionsConsumedConcurrently: 4,
  eachBatch: async ({ batch }) => {
    began()
    // Its grouping costs the square of a send's size, so 1,000 a send is its best case.
    for (let i = 0; i < batch.messages.length; i += 1_000) {
      const messages = batch.messages.slice(i, i + 1_000).map(({ key, value, timestamp, headers }) => ({
        key,
        value,
        timestamp,
        headers: headers ?? {},
        partition: batch.partition
      }))
      await producer.send({ topic: output, acks: -1, messages })
    }
  }
})
await stopped()
await consumer.disconnect()
await producer.disconnect()
