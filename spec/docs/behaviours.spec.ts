import { guide } from './snippets.ts'

guide('docs/behaviours.md', { checks: 5 })
