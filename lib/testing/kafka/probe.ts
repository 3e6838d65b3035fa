/** Asks a broker by hand, in a few bytes of the Kafka protocol, whether it is ready: no client library needed. */
import { connect } from 'node:net'
import { systemClock } from '../../time.ts'

const METADATA = 3
const FIND_COORDINATOR = 10
const GROUP = 0
const TRANSACTION = 1

/** How many brokers this one knows to be alive (a broker counts from the moment the controller unfences it). */
export async function aliveBrokers(address: string): Promise<number> {
  const noTopics = Buffer.alloc(4)
  return (await ask(address, METADATA, 1, noTopics)).readInt32BE(4)
}

/**
 * True when this broker can name a coordinator for groups and for transactions. The first question makes the broker
 * create the internal topics, so that the first group join or transaction of a spec does not wait for them.
 */
export async function hasCoordinators(address: string): Promise<boolean> {
  for (const type of [GROUP, TRANSACTION]) {
    const answer = await ask(address, FIND_COORDINATOR, 1, Buffer.concat([text('probe'), Buffer.from([type])]))
    if (answer.readInt16BE(8) !== 0) return false // after correlation id and throttle time
  }
  return true
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const size = Buffer.alloc(2)
  size.writeInt16BE(bytes.length)
  return Buffer.concat([size, bytes])
}

/** One request on its own connection; resolves with the response after its size field. */
function ask(address: string, apiKey: number, version: number, body: Buffer, timeoutMs = 2_000): Promise<Buffer> {
  const colon = address.lastIndexOf(':')
  const head = Buffer.alloc(12)
  const client = text('probe')
  head.writeInt32BE(8 + client.length + body.length, 0)
  head.writeInt16BE(apiKey, 4)
  head.writeInt16BE(version, 6)
  head.writeInt32BE(1, 8)

  return new Promise((resolve, reject) => {
    const socket = connect(Number(address.slice(colon + 1)), address.slice(0, colon))
    const timer = systemClock.setTimeout(() => socket.destroy(new Error(`${address} did not answer`)), timeoutMs)
    let received = Buffer.alloc(0)
    socket.on('connect', () => socket.write(Buffer.concat([head, client, body])))
    socket.on('data', (chunk) => {
      received = Buffer.concat([received, chunk])
      if (received.length < 4 || received.length < 4 + received.readInt32BE(0)) return
      resolve(received.subarray(4))
      socket.destroy()
    })
    socket.on('error', reject)
    socket.on('close', () => {
      systemClock.clearTimeout(timer)
      reject(new Error(`${address} closed the connection`))
    })
  })
}
