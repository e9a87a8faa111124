import { proposeCompletions, type Application } from '@stricli/core';
import { CairnError } from '#core';
import type { Context } from './context.ts';
import { run } from './output.ts';

// A shell asks `cairn __complete WORD...`, the last word being the one at the cursor, and is answered one proposal a line.

const scripts: Readonly<Record<string, string>> = {
  bash: `# cairn completion for bash. In ~/.bashrc:  source <(cairn completion bash)
_cairn() {
  local line
  COMPREPLY=()
  while IFS=$'\\t' read -r line _; do COMPREPLY+=("$line"); done < <(cairn __complete "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  [[ \${#COMPREPLY[@]} -eq 0 ]] && compopt -o default
}
# Words hold : and ~, as in production:17.
COMP_WORDBREAKS=\${COMP_WORDBREAKS//:}
complete -F _cairn cairn
`,
  zsh: `#compdef cairn
# cairn completion for zsh. In ~/.zshrc, after compinit:  source <(cairn completion zsh)
_cairn() {
  local -a found
  local word brief
  while IFS=$'\\t' read -r word brief; do found+=("\${word//:/\\\\:}:\${brief}"); done < <(cairn __complete "\${(@)words[2,CURRENT]}" 2>/dev/null)
  if (( \${#found} )); then _describe cairn found; else _files; fi
}
compdef _cairn cairn
`,
  fish: `# cairn completion for fish. In ~/.config/fish/config.fish:  cairn completion fish | source
function __cairn_complete
  set -l words (commandline -opc) (commandline -ct)
  cairn __complete $words[2..-1] 2>/dev/null
end
complete -c cairn -f -a '(__cairn_complete)'
`,
};

export async function completion(this: Context, _flags: object, shell: string): Promise<void> {
  await run(this, { json: false }, async () => {
    const script = scripts[shell];
    if (script === undefined) throw new CairnError('usage', `there is no completion for "${shell}"`, { fix: `cairn completion ${Object.keys(scripts).join(' | ')}` });
    this.system.out(script.trimEnd());
  });
}

/** Flags are offered by their long names, once something of them is typed or nothing else can come. */
export async function printProposals(application: Application<Context>, words: readonly string[], context: Context): Promise<void> {
  const found = await proposeCompletions(application, words.length === 0 ? [''] : words, context);
  const typed = words.at(-1) ?? '';
  const plain = found.filter(({ kind }) => kind !== 'argument:flag');
  const offered = typed.startsWith('-') || plain.length === 0 ? found : plain;
  for (const { completion: word, brief } of offered) if (word.startsWith(typed)) context.system.out(`${word}\t${brief}`);
}
