/** Installs the project's dependencies when they are missing or older than the lock file; plain Node, nothing needed before. */
import { spawnSync } from 'node:child_process'
import { existsSync, statSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Leaves the process with a sentence when the installation fails. */
export function ensureInstalled() {
  const mark = `${root}node_modules/.package-lock.json`
  if (existsSync(mark) && statSync(mark).mtimeMs >= statSync(`${root}package-lock.json`).mtimeMs - 60_000) return
  console.error('Installing dependencies (npm ci) …')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const run = (...args) =>
    spawnSync(npm, [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: root,
      stdio: ['ignore', 2, 2],
      shell: process.platform === 'win32'
    }).status === 0
  // A registry mirror may not have every platform's optional package that the lock names; `install` does without them.
  if (!run('ci') && !run('install', '--no-save')) {
    console.error(
      'The dependencies could not be installed. Check the network and the registry setting, then run `npm ci`.'
    )
    process.exit(1)
  }
}
