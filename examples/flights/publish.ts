/** Publishes airports and flights with a plain producer: the job's input comes from elsewhere, as in life. */
import { partitionFor } from '../../lib/kafka/partitioner.ts'
import type { Producer, Transport } from '../../lib/kafka/port.ts'
import { NO_HEADERS } from '../../lib/record.ts'
import { type Airport, departure, type Flight } from './data.ts'
import { AIRPORTS, FLIGHTS } from './topics.ts'

export async function publishAirports(
  transport: Transport,
  topic: (name: string) => string,
  airports: Airport[]
): Promise<void> {
  const send = await publisher(transport, topic(AIRPORTS))
  const start = departure({ date: '2001/01/01 00:00' } as Flight)
  for (const airport of airports) send.append(airport.iata, airport, start)
  await send.producer.flush()
  await send.producer.close()
}

/** `pace` is awaited before each share of the flights, so that the job has a middle in which something can happen. */
export async function publishFlights(
  transport: Transport,
  topic: (name: string) => string,
  flights: Flight[],
  pace: { shares: number; next(): Promise<void> }
): Promise<void> {
  const send = await publisher(transport, topic(FLIGHTS))
  const share = Math.ceil(flights.length / pace.shares)
  for (let from = 0; from < flights.length; from += share) {
    await pace.next()
    for (let i = from; i < Math.min(from + share, flights.length); i++) {
      const flight = flights[i]!
      send.append(`flight-${i}`, flight, departure(flight))
    }
    await send.producer.flush()
  }
  await send.producer.close()
}

async function publisher(transport: Transport, topic: string) {
  const producer: Producer = await transport.producer({ lane: 0 })
  const partitions = (await transport.admin.partitions([topic])).get(topic)!
  return {
    producer,
    append(key: string, value: object, timestamp: number): void {
      const k = Buffer.from(key)
      const v = Buffer.from(JSON.stringify(value))
      const writer = producer.writer(topic, partitionFor(k, 0, k.length, partitions))
      writer.append(timestamp, k, 0, k.length, v, 0, v.length, NO_HEADERS)
    }
  }
}
