/** Finds out quickly whether a Docker engine answers, before testcontainers is loaded, and sweeps what runs left there. */
import { existsSync } from 'node:fs'
import { request } from 'node:http'
import { createServer } from 'node:net'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { ContainerRuntimeClient } from 'testcontainers'
import { ProvisionError } from '../../errors.ts'
import { systemClock } from '../../time.ts'

/** The engine's API as testcontainers gives it. */
export type Engine = ContainerRuntimeClient['container']['dockerode']

export interface EngineClient {
  engine: Engine
  /** `Docker 20.10.24`. */
  version: string
  /** Where published ports are reached. */
  host: string
}

/** Marks our containers and networks. */
export const LABEL = 'millrace.kafka'

/** @throws ProvisionError when no engine answers, with the reason. */
export async function findEngine(): Promise<EngineClient> {
  await ping()
  // Only now: testcontainers is slow to load, and a development dependency that need not be there.
  const { getContainerRuntimeClient } = await import('testcontainers').catch((cause) => {
    throw new ProvisionError('the package testcontainers is not installed', { cause })
  })
  try {
    const { container, info } = await getContainerRuntimeClient()
    const { host } = info.containerRuntime
    // A machine that is a container itself, with an engine inside, is told the bridge's gateway: its own address.
    const local = host === 'localhost' || (await isOwn(host))
    const { Version } = (await container.dockerode.version()) as { Version: string }
    return { engine: container.dockerode, version: `Docker ${Version}`, host: local ? '127.0.0.1' : host }
  } catch (cause) {
    throw new ProvisionError(`no Docker engine answers (${(cause as Error).message})`, { cause })
  }
}

/** True for an address of this machine. (The list of interfaces leaves out a bridge without containers; binding tells.) */
function isOwn(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(0, address, () => server.close(() => resolve(true)))
  })
}

/** Asks `GET /_ping` where DOCKER_HOST points, else at the usual sockets. TLS and ssh are left to testcontainers. */
async function ping(): Promise<void> {
  const wish = process.env.DOCKER_HOST
  const url = wish ? new URL(wish) : undefined
  if (url && url.protocol !== 'unix:' && (url.protocol !== 'tcp:' || process.env.DOCKER_TLS_VERIFY)) return
  if (url?.protocol === 'tcp:') {
    const why = await silence({ host: url.hostname, port: Number(url.port || 2375) })
    if (why) throw new ProvisionError(`no Docker engine answers at DOCKER_HOST=${wish} (${why})`)
    return
  }
  const sockets = url ? [url.pathname] : USUAL_SOCKETS.filter((path) => existsSync(path))
  const reasons: string[] = []
  for (const socketPath of sockets) {
    const why = await silence({ socketPath })
    if (!why) return
    reasons.push(`${socketPath}: ${why}`)
  }
  throw new ProvisionError(`no Docker engine answers (${reasons.join(', ') || 'there is no socket of one'})`)
}

const USUAL_SOCKETS = [
  '/var/run/docker.sock',
  join(process.env.XDG_RUNTIME_DIR ?? '/run/user/0', 'docker.sock'),
  join(homedir(), '.docker', 'run', 'docker.sock'),
  join(homedir(), '.docker', 'desktop', 'docker.sock')
]

/** Undefined when the engine answers, else why not. */
function silence(where: { socketPath: string } | { host: string; port: number }): Promise<string | undefined> {
  return new Promise((resolve) => {
    const asked = request({ ...where, path: '/_ping' }, (response) => {
      response.resume()
      resolve(response.statusCode === 200 ? undefined : `status ${response.statusCode}`)
    })
    const timer = systemClock.setTimeout(() => asked.destroy(new Error('no answer in 3 s')), 3_000)
    asked.on('error', (error) => resolve((error as NodeJS.ErrnoException).code ?? error.message))
    asked.on('close', () => systemClock.clearTimeout(timer))
    asked.end()
  })
}

/**
 * Removes what a process killed between two steps left: containers that were made but never started, networks without
 * containers. Running ones need no sweep: they end by themselves. The age spares those being set up right now.
 */
export async function sweep(engine: Engine): Promise<void> {
  const old = systemClock.now() - 120_000
  const filters = JSON.stringify({ label: [LABEL], status: ['created', 'exited', 'dead'] })
  for (const { Id, Created } of await engine.listContainers({ all: true, filters })) {
    if (Created * 1000 < old)
      await engine
        .getContainer(Id)
        .remove({ force: true, v: true })
        .catch(() => {})
  }
  const networks = await engine.listNetworks({ filters: JSON.stringify({ label: [LABEL] }) })
  for (const { Id, Created } of networks) {
    // The engine refuses to remove a network in use.
    if (Date.parse(Created) < old)
      await engine
        .getNetwork(Id)
        .remove()
        .catch(() => {})
  }
}
