# Completes lines in an interactive zsh, as an operator does: inner-zsh.zsh <folder for fpath> <file for its notes> <line>…
# Prints each line as it is once all matches have been put at its end. SOURCED is a script that it evaluates, if any.
zmodload zsh/zpty
folder=$1 notes=$2
shift 2
zpty inner zsh -f -i
zpty -w inner 'PS1= PS2= RPS1=; unsetopt zle_bracketed_paste prompt_sp; LISTMAX=10000; stty -echo columns 200 rows 100'
zpty -w inner "fpath=(${(q)folder} \$fpath); autoload -U compinit; compinit -u -d ${(q)notes}.dump"
[[ -n $SOURCED ]] && zpty -w inner "source ${(q)SOURCED}"
zpty -w inner "zstyle ':completion:*' completer _all_matches _complete; zstyle ':completion:*' insert true"
zpty -w inner "note() { print -r -- \"\$BUFFER\" >${(q)notes}; BUFFER=; print; print -r -- NO''TED }; zle -N note; bindkey '^X' note"

# Reads what the inner shell says up to the line with this word.
await() {
  local said=
  while zpty -r inner said; do [[ $said == *$1* ]] && return; done
  print -u2 "the inner shell has ended"
  exit 1
}

zpty -w inner "print -r -- REA''DY"
await READY
for line; do
  zpty -n -w inner "$line"$'\t\C-X'
  await NOTED
  print -r -- "$(<$notes)"
done
zpty -d inner
