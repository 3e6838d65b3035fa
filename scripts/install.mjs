/** Installs the project's dependencies when they are missing or older than the lock file; plain Node, nothing needed before. */
import { spawnSync } from 'node:child_process'
import { existsSync, lstatSync, readlinkSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** Leaves the process with a sentence when the installation fails. @param at the folder of package.json */
export function ensureInstalled(at = root) {
  const modules = join(at, 'node_modules')
  const mark = join(modules, '.package-lock.json')
  const current = existsSync(mark) && statSync(mark).mtimeMs >= statSync(join(at, 'package-lock.json')).mtimeMs - 60_000
  if (current) return
  // `npm ci` begins by emptying node_modules: through a link, those of another checkout, which may be at work with them.
  if (lstatSync(modules, { throwIfNoEntry: false })?.isSymbolicLink()) {
    const target = readlinkSync(modules)
    if (existsSync(mark))
      return console.error(`${linked(target)} are older than package-lock.json here; taken as they are.`)
    console.error(`${linked(target)} are not installed. Run \`npm ci\` there, or remove the link to install them here.`)
    process.exit(1)
  }
  console.error('Installing dependencies (npm ci) …')
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'
  const run = (...args) =>
    spawnSync(npm, [...args, '--no-audit', '--no-fund', '--loglevel=error'], {
      cwd: at,
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

const linked = (target) => `node_modules is a link to ${target}. The dependencies there`
