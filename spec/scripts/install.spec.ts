/** The installation in front of every command: npm is called where it is needed, and never through a link. */
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { expect } from 'chai'

const script = new URL('../../scripts/install.mjs', import.meta.url).href

describe('The installation', () => {
  let home: string
  let at: string
  const calls = (): string => (existsSync(join(home, 'calls')) ? readFileSync(join(home, 'calls'), 'utf8') : '')

  before(function () {
    if (process.platform !== 'win32') return
    console.log('skipped: the npm of this spec is a shell script')
    this.skip()
  })
  beforeEach(() => {
    home = mkdtempSync(join(tmpdir(), 'millrace-install-'))
    at = join(home, 'checkout')
    mkdirSync(at)
    writeFileSync(join(at, 'package-lock.json'), '{}')
    mkdirSync(join(home, 'bin'))
    writeFileSync(join(home, 'bin', 'npm'), `#!/bin/sh\necho "$1" >> '${join(home, 'calls')}'\n`)
    chmodSync(join(home, 'bin', 'npm'), 0o755)
  })
  afterEach(() => rmSync(home, { recursive: true, force: true }))

  function ensure(): { status: number | null; said: string } {
    const code = `import(${JSON.stringify(script)}).then(({ ensureInstalled }) => ensureInstalled(${JSON.stringify(at)}))`
    const env = { ...process.env, NODE_OPTIONS: '', PATH: `${join(home, 'bin')}${delimiter}${process.env.PATH}` }
    const { status, stderr } = spawnSync(process.execPath, ['-e', code], { encoding: 'utf8', env })
    return { status, said: stderr }
  }
  /** @param ageMs how much older than the lock file of the checkout */
  function install(folder: string, ageMs: number): void {
    mkdirSync(folder)
    const mark = join(folder, '.package-lock.json')
    writeFileSync(mark, '{}')
    const time = (Date.now() - ageMs) / 1000
    utimesSync(mark, time, time)
  }

  it('calls npm ci when nothing is installed, or something older, and nothing otherwise', () => {
    expect(ensure().status).to.equal(0)
    expect(calls()).to.equal('ci\n')
    install(join(at, 'node_modules'), 3_600_000)
    ensure()
    expect(calls()).to.equal('ci\nci\n')
    rmSync(join(at, 'node_modules'), { recursive: true })
    install(join(at, 'node_modules'), 0)
    expect(ensure()).to.deep.equal({ status: 0, said: '' })
    expect(calls()).to.equal('ci\nci\n')
  })

  it('takes what a link leads to as it is, and says when that is older', () => {
    install(join(home, 'others'), 3_600_000)
    symlinkSync(join(home, 'others'), join(at, 'node_modules'))
    const { status, said } = ensure()
    expect(status).to.equal(0)
    expect(said)
      .to.include(`node_modules is a link to ${join(home, 'others')}`)
      .and.to.include('older')
    expect(calls()).to.equal('')
  })

  it('refuses a link that leads to nothing that is installed', () => {
    symlinkSync(join(home, 'others'), join(at, 'node_modules'))
    const { status, said } = ensure()
    expect(status).to.equal(1)
    expect(said).to.include('Run `npm ci` there, or remove the link')
    expect(calls()).to.equal('')
  })
})
