/** The shell that keeps brokers from outliving us, tried with plain commands. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { expect } from 'chai'
import { localWatchdog } from '../../../lib/testing/kafka/watchdog.ts'
import { until } from '../../../lib/testing/until.ts'

const alive = (pid: number): boolean => {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

describe('watchdog', () => {
  it('runs a command, hands on its words and tells how it ended', async () => {
    const lines: string[] = []
    const watchdog = localWatchdog('sh', ['-c', 'echo out; echo err >&2; exit 3'], {
      onLine: (line) => lines.push(line)
    })
    await watchdog.start()
    expect(await watchdog.exited).to.equal(3)
    await watchdog.close()
    expect(lines.sort()).to.deep.equal(['err', 'out'])
  })

  it('kills, and starts again', async () => {
    const watchdog = localWatchdog('sleep', ['1000'], { onLine: () => {} })
    await watchdog.start()
    const first = watchdog.pid!
    await watchdog.end('KILL')
    expect(watchdog.pid).to.equal(undefined)
    expect(alive(first)).to.equal(false)
    await watchdog.start()
    const second = watchdog.pid!
    expect(alive(second)).to.equal(true)
    await watchdog.close()
    expect(alive(second)).to.equal(false)
  })

  it('ends a frozen command on close and removes the folder', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'millrace-spec-'))
    const watchdog = localWatchdog('sleep', ['1000'], { folder, onLine: () => {} })
    await watchdog.start()
    const pid = watchdog.pid!
    await watchdog.signal('STOP')
    await watchdog.close()
    expect(alive(pid)).to.equal(false)
    expect(existsSync(folder)).to.equal(false)
  })

  it('reports a command that does not exist as ended', async () => {
    const watchdog = localWatchdog('/no/such/command', [], { onLine: () => {} })
    await watchdog.start()
    expect(await watchdog.exited).to.equal(127)
    await watchdog.close()
  })

  for (const [how, end] of [
    ['is killed with SIGKILL', 'process.kill(process.pid, "SIGKILL")'],
    ['throws', 'setImmediate(() => { throw new Error("boom") })'],
    ['just finishes', '']
  ] as const) {
    it(`leaves neither process nor folder behind when our process ${how}`, async () => {
      const folder = await mkdtemp(join(tmpdir(), 'millrace-spec-'))
      const module = new URL('../../../lib/testing/kafka/watchdog.ts', import.meta.url).href
      const code = `
        import { localWatchdog } from ${JSON.stringify(module)}
        const watchdog = localWatchdog('sleep', ['1000'], { folder: ${JSON.stringify(folder)}, onLine() {} })
        await watchdog.start()
        console.log(watchdog.pid)
        ${end}`
      const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=module', '-e', code])
      const [line] = await once(createInterface({ input: child.stdout }), 'line')
      if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
      await until(() => !alive(Number(line)), { what: `process ${line} to end` })
      await until(() => !existsSync(folder), { what: `${folder} to be removed` })
    })
  }
})
