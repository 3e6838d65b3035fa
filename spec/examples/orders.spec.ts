/** The orders example on the embedded log, as a user runs it, and what its command line says to mistakes. */
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'chai'

const launcher = fileURLToPath(new URL('../../examples/launch.mjs', import.meta.url))

function run(...args: string[]): { status: number | null; output: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [launcher, ...args], { encoding: 'utf8' })
  return { status, output: stdout + stderr }
}

describe('npm run example', function () {
  this.timeout(60_000)

  it('lists the examples, and refuses one that does not exist', () => {
    expect(run()).to.have.property('output').that.includes('npm run example -- orders --help')
    const { status, output } = run('oders')
    expect(status).to.equal(2)
    expect(output).to.include('There is no example "oders"')
  })

  it('orders: every record is there once, in event time, after nine days of a shop on the embedded log', () => {
    const { status, output } = run('orders', '--orders', '600')
    expect(status, output).to.equal(0)
    expect(output).to.match(/exact: (\d+) of \1 records, each once \(600 orders, nine days in [\d.]+ s\)/)
    expect(output).to.include('reminded to pay').and.include('outcome lapsed').and.not.include('✗')
  })

  it('orders --help tells each command; a mistake is status 2 and a sentence', () => {
    const { status, output } = run('orders', '--help')
    expect(status).to.equal(0)
    for (const option of ['--kafka', '--crash', '--brokers', '--orders']) expect(output).to.include(option)
    for (const [args, told] of [
      [['--kafak'], /Unknown option '--kafak'/],
      [['--crash'], /--crash kills the job.* add --kafka or --brokers/],
      [['--orders', 'many'], /--orders many is not a number/]
    ] as const) {
      const mistake = run('orders', ...args)
      expect(mistake.status).to.equal(2)
      expect(mistake.output)
        .to.match(told)
        .and.not.match(/^\s+at /m)
    }
  })
})
