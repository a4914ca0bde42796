# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Completion for instar, and for qemu-img where that is instar: commands, options, formats, values. The program says
# itself what it has, by --help and -o help, which look at no image; it is the one in PATH, never one by the path on the
# line, which may lie beside somebody else's images.

# Fills `formats` with what is read, or with what is written.
_instar_formats() {
    local text
    if [[ $2 == written ]]; then
        text=$("$1" convert --help 2>/dev/null)
        text=${text#*the format of TARGET: }
        text=${text%%$'\n  -'*}
        text=${text//$'\n'/ }
        text=${text//(default)/}
    else
        text=$("$1" --help 2>/dev/null)
        text=${text#*Supported formats: }
        text=${text%%$'\n'*}
    fi
    read -ra formats <<<"${text//,/ }"
}

# Fills `options` with those of a command, `values` with the choices of `option`, `argument` with what it takes.
_instar_options() {
    local line head word is_option
    while IFS= read -r line; do
        [[ $line == '  -'* ]] || continue
        head=${line#  }
        head=${head%%  *}
        is_option=
        for word in ${head//[=\[\],]/ }; do
            if [[ $word == -* ]]; then
                options+=("$word")
                [[ $word == "$option" ]] && is_option=yes
            elif [[ $is_option ]]; then
                argument=${argument:-$word}
                [[ $word == *'|'* ]] && read -ra values <<<"${word//|/ }"
            fi
        done
    done < <("$1" "$2" --help 2>/dev/null)
    [[ $option ]] || return
    # What the help has in words.
    case $2/$option in
    copy/--backing) values=(regular direct mmap io-uring memory) ;;
    batch/--report) values=(text json svg) ;;
    batch/--submit) values=(slurm parallel kubernetes) ;;
    */--sandbox) values=(auto kvm process) ;;
    */--stats) values=(human json prometheus) ;;
    */--object)
        values=()
        [[ ${whole#--object=} == *=* ]] || values=("secret,id=")
        ;;
    */-t | */-T) values=(none directsync writethrough writeback unsafe) ;;
    */--preallocation) values=(off metadata falloc full) ;;
    esac
}

# Fills `values` with those of an option of a format, which the list of options has in words, if at all.
_instar_format_values() {
    case $1/$2 in
    qcow2/preallocation) values=(off metadata falloc full) ;;
    */preallocation) values=(off falloc full) ;;
    qcow2/compat) values=(v2 0.10 v3 1.1) ;;
    qcow2/compression_type) values=(zlib zstd) ;;
    qcow2/refcount_bits) values=(1 2 4 8 16 32 64) ;;
    qcow2/encrypt.format) values=(luks) ;;
    vpc/subformat | vhdx/subformat) values=(dynamic fixed) ;;
    vmdk/subformat) values=(monolithicSparse monolithicFlat twoGbMaxExtentSparse twoGbMaxExtentFlat streamOptimized) ;;
    vmdk/adapter_type) values=(ide lsilogic buslogic legacyESX) ;;
    vmdk/backing_fmt) values=(vmdk) ;;
    qed/table_size) values=(2 4 8 16) ;;
    */cipher-mode | */encrypt.cipher-mode) values=(xts cbc ctr ecb) ;;
    */ivgen-alg | */encrypt.ivgen-alg) values=(plain plain64 essiv) ;;
    */state | */encrypt.state) values=(active inactive) ;;
    esac
}

# Fills `values` with what -o may have: names of options of the format that the line chooses for what is written, or, after
# the name of one, its values.
_instar_format_options() {
    local i name=$3 format=raw chooser=-O command=create line
    local -a list
    [[ $2 == create || $2 == amend ]] && chooser=-f
    [[ $2 == amend ]] && format=qcow2 command=amend # unless the line says which
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} == "$chooser" ]] && format=${COMP_WORDS[i + 1]}
    done
    # With a name, which nothing is done to, the options of the file around the format are listed, too.
    list=("$command" -f "$format" -o help)
    [[ $2 == create || $2 == convert ]] && list+=(name)
    while IFS= read -r line; do
        [[ $line == '  '*'=<'* ]] || continue
        line=${line#  }
        [[ $format == qcow && $line == encrypt* ]] && continue # refused
        if [[ -z $name ]]; then
            values+=("${line%%=*}=")
        elif [[ $line == "$name=<bool "* ]]; then
            values=(on off)
        elif [[ $line == "$name="* ]]; then
            [[ $name == backing_fmt ]] && _instar_formats "$1" read && values=("${formats[@]}")
            _instar_format_values "$format" "$name"
        fi
    done < <("$1" "${list[@]}" 2>/dev/null)
}

_instar() {
    local program commands word whole piece prefix='' option='' argument='' command='' i=$((COMP_CWORD - 1))
    local -a options=() values=() formats=()
    COMPREPLY=()
    program=$(type -P -- "${COMP_WORDS[0]##*/}") || return
    if [[ ${COMP_WORDS[0]##*/} != instar && $("$program" --version 2>/dev/null) != *'(instar '* ]]; then
        return
    fi
    # A word of the line is cut at each '='.
    whole=${COMP_WORDS[COMP_CWORD]}
    while ((i > 0)) && [[ $whole == =* || ${COMP_WORDS[i]} == = ]]; do
        whole=${COMP_WORDS[i]}$whole
        i=$((i - 1))
    done
    piece=${whole##*=}
    if [[ $whole == --*=* ]]; then
        option=${whole%%=*}
    elif [[ ${COMP_WORDS[i]} == -* ]]; then
        option=${COMP_WORDS[i]}
    fi
    commands=$("$program" --help 2>/dev/null)
    commands=${commands#*Commands:}
    commands=${commands%%$'\n\n'*}
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${COMP_WORDS[i]} != -* ]] && command=${COMP_WORDS[i]} && break
    done
    if [[ -z $command || $command == help ]]; then
        while read -r word _; do
            [[ $word ]] && values+=("$word")
        done <<<"$commands"
        [[ $command ]] || values+=(--help --version --verbose)
    else
        _instar_options "$program" "$command"
        [[ ${values[*]} ]] || case $command/$option/$argument in
        */-o/OPTION)
            # The last of a list: a name, or a name and a value. What is before the last '=' is not replaced.
            word=${whole##*,}
            if [[ $word == *=* ]]; then
                _instar_format_options "$program" "$command" "${word%%=*}"
            else
                _instar_format_options "$program" "$command" ''
                [[ $piece == *,* ]] && prefix=${piece%,*},
                piece=${piece##*,}
            fi
            ;;
        */-O/FORMAT | create/-f/FORMAT)
            _instar_formats "$program" written
            values=("${formats[@]}")
            ;;
        */FORMAT)
            _instar_formats "$program" read
            values=("${formats[@]}")
            ;;
        dd/*/)
            [[ $whole == -* || $whole == *=* ]] || values=(if= of= bs= count= skip=)
            ;;
        esac
        [[ $whole == -* && $whole != *=* && -z ${values[*]} ]] && values=("${options[@]}")
    fi
    while IFS= read -r word; do
        [[ $word ]] && COMPREPLY+=("$prefix$word")
    done < <(compgen -W "${values[*]}" -- "$piece")
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
        compopt -o nospace 2>/dev/null
    fi
}

# Names of files where there is nothing to say.
complete -o bashdefault -o default -F _instar instar
