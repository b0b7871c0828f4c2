package panel

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Panel is what there is to say.
type Panel struct {
	Node        string
	Version     string
	Waiting     string   // services that are not ready, with commas; "" = all are
	Pages       string   // address of the pages; "" when this node does not run them
	SIP         []string // where phones register, as udp://host:port
	DataDir     string
	Certificate string // file of the self-signed certificate that phones may be given; "" = there is none
	Flags       string // what commands on this machine need to find the node, with a blank before; "" = nothing
	Accounts    *Accounts
}

// Accounts are the passwords of the first start; nil on any later one.
type Accounts struct {
	Domain     string
	Admin      Account
	Extensions []Account
}

// Account is a name and its password.
type Account struct{ Name, Password string }

// Write draws p on w.
func (p Panel) Write(w io.Writer) error {
	var b box
	title := fmt.Sprintf("Parley %s is ready", p.Version)
	if p.Waiting != "" {
		title = fmt.Sprintf("Parley %s is up, not ready: %s", p.Version, p.Waiting)
	}
	b.title(title, "node "+p.Node)
	p.doors(&b)
	if p.Accounts != nil {
		p.secrets(&b)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (p Panel) doors(b *box) {
	if p.Pages != "" {
		b.field("Pages", p.Pages)
	}
	for i, a := range p.SIP {
		name := ""
		if i == 0 {
			name = "Phones"
		}
		b.field(name, a)
	}
	if p.Certificate != "" {
		b.field("Certificate", p.Certificate+" (self-signed; give it to phones that check)")
	}
	b.field("Data", p.DataDir)
	b.field("Watch", "parley status"+p.Flags)
}

func (p Panel) secrets(b *box) {
	a := p.Accounts
	b.rule()
	b.line("These passwords are shown this once and kept nowhere. Note them now.")
	b.line("")
	b.field("Sign in", fmt.Sprintf("%s   %s", a.Admin.Name, a.Admin.Password))
	b.line("")
	b.field("SIP domain", a.Domain)
	half := (len(a.Extensions) + 1) / 2
	for i := range half {
		name := ""
		if i == 0 {
			name = "Extensions"
		}
		row := a.Extensions[i].row()
		if i+half < len(a.Extensions) {
			row += "      " + a.Extensions[i+half].row()
		}
		b.field(name, row)
	}
	if len(a.Extensions) == 0 || len(p.SIP) == 0 {
		return
	}
	first := a.Extensions[0]
	_, address, _ := strings.Cut(p.SIP[0], "://")
	b.rule()
	b.line("To register the first phone, give a softphone this account:")
	b.line("")
	b.field("User", first.Name)
	b.field("Password", first.Password)
	b.field("Domain", a.Domain)
	b.field("Proxy", address+"  (the address of this machine, as the phone sees it)")
	b.line("")
	b.line("Lost a password? Sign in and set a new one under Extensions. Lost the administrator's?")
	b.line("This gives a token for REST, which can set it:")
	b.line("  parley token --user " + a.Admin.Name + p.Flags)
}

func (a Account) row() string { return fmt.Sprintf("%-6s %s", a.Name, a.Password) }

// box draws lines between borders as wide as the longest of them.
type box struct{ lines []string }

const ruleMark = "\x00rule" // stands for a horizontal line; no text holds a zero byte

func (b *box) line(s string) { b.lines = append(b.lines, s) }
func (b *box) rule()         { b.lines = append(b.lines, ruleMark) }

func (b *box) field(name, value string) { b.line(fmt.Sprintf("%-12s %s", name, value)) }

func (b *box) title(left, right string) {
	b.line(left + strings.Repeat(" ", max(2, 60-utf8.RuneCountInString(left+right))) + right)
	b.rule()
}

// String renders the box, ending in a newline.
func (b *box) String() string {
	width := 0
	for _, l := range b.lines {
		if l != ruleMark {
			width = max(width, utf8.RuneCountInString(l))
		}
	}
	var s strings.Builder
	bar := strings.Repeat("─", width+4)
	fmt.Fprintf(&s, "\n╭%s╮\n", bar)
	for _, l := range b.lines {
		if l == ruleMark {
			fmt.Fprintf(&s, "├%s┤\n", bar)
			continue
		}
		fmt.Fprintf(&s, "│  %s%s  │\n", l, strings.Repeat(" ", width-utf8.RuneCountInString(l)))
	}
	fmt.Fprintf(&s, "╰%s╯\n\n", bar)
	return s.String()
}
