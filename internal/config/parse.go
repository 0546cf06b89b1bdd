package config

import (
	"bytes"
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// Limits on the shape of a text. The parser recurses with nesting, so they are
// checked on the tokens before it runs.
const (
	maxDepth  = 64  // nested sections and lists
	maxColumn = 512 // first column of a line; block nesting deepens by columns
)

// parse returns the root of the text, nil for an empty one, or a fault.
func parse(text []byte) (root ast.Node, fault *Fault) {
	if len(text) > MaxBytes {
		return nil, &Fault{Message: fmt.Sprintf("is larger than %d KiB", MaxBytes>>10)}
	}
	if !utf8.Valid(text) {
		return nil, &Fault{Message: "is not UTF-8 text"}
	}
	// The text comes from outside; a parser that panics on it must not end us.
	defer func() {
		if p := recover(); p != nil {
			root, fault = nil, &Fault{Message: fmt.Sprintf("is not YAML: %v", p)}
		}
	}()
	tokens := lexer.Tokenize(string(bytes.TrimPrefix(text, []byte("\xef\xbb\xbf"))))
	if fault := checkShape(tokens); fault != nil {
		return nil, fault
	}
	file, err := parser.Parse(tokens, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return nil, syntaxFault(err)
	}
	for _, doc := range file.Docs {
		switch {
		case doc.Body == nil:
		case root != nil:
			return nil, at(doc.Body, "", "only one document is allowed; remove the \"---\"")
		default:
			root = doc.Body
		}
	}
	return root, nil
}

func syntaxFault(err error) *Fault {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) {
		return &Fault{Message: "is not YAML: " + err.Error()}
	}
	f := &Fault{Message: "is not YAML: " + syntax.Message}
	if syntax.Token != nil && syntax.Token.Position != nil {
		f.Line, f.Column = syntax.Token.Position.Line, syntax.Token.Position.Column
	}
	return f
}

// checkShape refuses nesting that would make the parser recurse deeply.
func checkShape(tokens token.Tokens) *Fault {
	flow, line, markers := 0, 0, 0
	for _, t := range tokens {
		if t.Position != nil && t.Position.Line != line {
			line, markers = t.Position.Line, 0
			if t.Position.Column > maxColumn && flow == 0 && t.Type != token.CommentType {
				return tooDeep(t)
			}
		}
		switch t.Type {
		case token.MappingStartType, token.SequenceStartType:
			flow++
		case token.MappingEndType, token.SequenceEndType:
			flow = max(0, flow-1)
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType, token.TagType, token.AnchorType:
			if flow == 0 {
				markers++
			}
		default:
		}
		if flow > maxDepth || markers > maxDepth {
			return tooDeep(t)
		}
	}
	return nil
}

func tooDeep(t *token.Token) *Fault {
	f := &Fault{Message: fmt.Sprintf("is nested more than %d deep", maxDepth)}
	if t.Position != nil {
		f.Line, f.Column = t.Position.Line, t.Position.Column
	}
	return f
}

// at makes a fault at a node.
func at(n ast.Node, key, message string) *Fault {
	f := &Fault{Key: key, Message: message}
	if t := startToken(n); t != nil && t.Position != nil {
		f.Line, f.Column = t.Position.Line, t.Position.Column
	}
	return f
}

// startToken is the first token of a node; for a mapping that is its first key
// rather than the colon behind it.
func startToken(n ast.Node) *token.Token {
	switch n := n.(type) {
	case nil:
		return nil
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return startToken(n.Values[0])
		}
	case *ast.MappingValueNode:
		return n.Key.GetToken()
	}
	return n.GetToken()
}
