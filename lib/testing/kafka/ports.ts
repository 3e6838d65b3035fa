/** Free TCP ports on the loopback address, outside the range that outgoing connections draw from. */
import { randomInt } from 'node:crypto'
import { createServer } from 'node:net'

// Linux draws the local port of an outgoing connection from 32768 up. A broker's port from that range could be taken
// while the broker is down for a restart; worse, a client that retries to a dead port of that range can meet its own
// local port and connect to itself.
const FIRST = 20_000
const LAST = 32_000

/** `count` different ports nobody listens on at this moment. The caller retries if one is taken before it is bound. */
export async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>()
  for (let tries = 0; found.size < count; tries++) {
    if (tries > 500) throw new Error(`No ${count} free TCP ports between ${FIRST} and ${LAST} on 127.0.0.1`)
    const port = randomInt(FIRST, LAST)
    if (!found.has(port) && (await isFree(port))) found.add(port)
  }
  return [...found]
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })
}
